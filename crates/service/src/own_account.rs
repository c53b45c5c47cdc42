//! What a device may learn of its own account, and change about it.

use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::{Account, Device, MetaStore, StoreError};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{Code, DeviceSummary, ErrorReply, FrameStream, Profile, Reply};
use skep_types::DeviceId;

use crate::accounts::{check_password, check_user_name};
use crate::answer::{Frames, no_more, reply};
use crate::backoff::Key;
use crate::error::signed_out;
use crate::session::Session;
use crate::{Service, password};

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Profile`].
    pub(crate) async fn profile(&self, session: &Session, mut body: FrameStream) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let account = session.account;
        let found = self.read(move |read| {
            let Some(account) = read.account(account)? else { return Ok(None) };
            let has_account_id = read.classic_id(account.id)?.is_some();
            let devices = read.devices(account.id)?.iter().filter(|device| !device.revoked).count();
            Ok(Some((account, has_account_id, devices)))
        });
        let (account, has_account_id, devices) = found.await?.ok_or_else(signed_out)?;
        Ok(reply(&Reply::Profile(Profile {
            user: account.name,
            account: account.id,
            created: account.created,
            has_password: account.password_hash.is_some(),
            has_account_id,
            devices: u32::try_from(devices).unwrap_or(u32::MAX),
        })))
    }

    /// [`skep_protocol::Request::Rename`].
    pub(crate) async fn rename(
        &self,
        session: &Session,
        user: String,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        check_user_name(&user)?;
        let (account, wanted) = (session.account, user.clone());
        let renamed = self.write(move |tx| {
            if tx.account_by_name(&wanted)?.is_some_and(|other| other.id != account) {
                return Ok(false);
            }
            let account = tx.account(account)?.ok_or_else(|| StoreError::Failed("the account is gone".to_owned()))?;
            tx.put_account(&Account { name: wanted, ..account }).map(|()| true)
        });
        match renamed.await? {
            true => Ok(reply(&Reply::Done)),
            false => Err(ErrorReply::new(Code::Exists, format!("the user name {user} is taken"))),
        }
    }

    /// [`skep_protocol::Request::ChangePassword`].
    pub(crate) async fn change_password(
        &self,
        session: &Session,
        old: Option<String>,
        new: String,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        check_password(&new)?;
        let (gate, parts) = (&self.inner.joins, &self.inner.parts);
        let keys = [Key::own(session.account)];
        gate.attempt(&keys, parts.clock.monotonic_ms())?;
        let id = session.account;
        let account = self.read(move |read| read.account(id)).await?.ok_or_else(signed_out)?;
        if let Some(stored) = account.password_hash {
            let given = old.unwrap_or_default();
            let is_right = self.hash_job(move |memory| password::verify(&given, Some(&stored), memory)).await?;
            if !is_right {
                // Not `SignIn`, which would mean that the device is signed out.
                return Err(ErrorReply::new(Code::NotAllowed, "the present password is another one"));
            }
        }
        gate.attempts.succeeded(&keys);
        let salt = parts.entropy.bytes();
        let hash = self.hash_job(move |_| password::hash(&new, &salt)).await?;
        self.write(move |tx| match tx.account(id)? {
            Some(account) => tx.put_account(&Account { password_hash: Some(hash), ..account }),
            None => Ok(()),
        })
        .await?;
        Ok(reply(&Reply::Done))
    }

    /// [`skep_protocol::Request::Devices`].
    pub(crate) async fn own_devices(&self, session: &Session, mut body: FrameStream) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let account = session.account;
        let mut devices = self.read(move |read| read.devices(account)).await?;
        devices.sort_by_key(|device| device.revoked);
        let devices = devices.into_iter().map(summary_of).collect();
        Ok(reply(&Reply::Devices { devices }))
    }

    /// [`skep_protocol::Request::SignOut`].
    pub(crate) async fn sign_out(
        &self,
        session: &Arc<Session>,
        device: DeviceId,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let account = session.account;
        let done = self.write(move |tx| match tx.device(device)?.filter(|device| device.account == account) {
            Some(device) => tx.put_device(&Device { revoked: true, ..device }).map(|()| true),
            None => Ok(false),
        });
        if !done.await? {
            return Err(ErrorReply::new(Code::NotFound, "the account has no such device"));
        }
        self.inner.sessions.revoke(device);
        Ok(reply(&Reply::Done))
    }
}

fn summary_of(device: Device) -> DeviceSummary {
    DeviceSummary {
        id: device.id,
        name: device.name,
        platform: device.platform,
        client_version: device.client_version,
        created: device.created,
        last_seen: device.last_seen,
        is_signed_out: device.revoked,
    }
}
