//! Who am I, what is there?

use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::MetaStore;
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{ErrorReply, FrameStream, Reply, SUMS_FEATURE};

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::error::signed_out;
use crate::join::clipped;
use crate::journal::summary;
use crate::session::Session;

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Hello`].
    pub(crate) async fn hello(
        &self,
        session: &Arc<Session>,
        client_version: String,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (id, account) = (session.device, session.account);
        let found = self.read(move |read| {
            let (Some(device), Some(account)) = (read.device(id)?, read.account(account)?) else { return Ok(None) };
            let drives = read.drives(account.id)?.iter().map(|drive| summary(read, drive)).collect::<Result<_, _>>()?;
            Ok(Some((device, account, drives)))
        });
        let (device, account, drives) = found.await?.ok_or_else(signed_out)?;
        let client_version = clipped(&client_version);
        if device.client_version != client_version {
            self.note_client_version(session, client_version).await?;
        }
        Ok(reply(&Reply::Hello {
            account_name: account.name,
            device_name: device.name,
            drives,
            features: vec![SUMS_FEATURE.to_owned()],
            server_version: self.inner.parts.server_version.clone(),
            time: Some(self.inner.parts.clock.now()),
        }))
    }

    async fn note_client_version(&self, session: &Session, client_version: String) -> Result<(), ErrorReply> {
        let id = session.device;
        let noted = self.write(move |tx| match tx.device(id)? {
            Some(mut device) => {
                device.client_version = client_version;
                tx.put_device(&device)
            }
            None => Ok(()),
        });
        Ok(noted.await?)
    }
}
