//! Administration: accounts, devices, the connection log. Used by the command line while the server runs, and while it does not.

use skep_blobstore::BlobStore;
use skep_metastore::{Account, Connection, Device, Drive, MetaStore, Quota, Read, StoreError};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::PASSWORD_CHARS_MIN;
use skep_types::{AccountId, DeviceId, DriveId, Seq};

use crate::session::may_call;
use crate::{Service, ServiceError, password};

/// Longest login name, in characters.
const USER_NAME_CHARS_MAX: usize = 64;
/// What a login name may have besides letters and digits, though not at its beginning.
const USER_NAME_SIGNS: &str = " ._-@+'";
/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;
/// The name of the first drive of every account.
const HOME: &str = "home";

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// Makes an account and its home drive.
    pub async fn add_user(&self, name: &str, password: &str) -> Result<AccountId, ServiceError> {
        check_user_name(name)?;
        check_password(password)?;
        let parts = &self.inner.parts;
        let salt = parts.entropy.bytes();
        let secret = password.to_owned();
        let password_hash = offload(&parts.tasks, Lane::Hash, move || password::hash(&secret, &salt)).await?;
        let (account, home) = self.fresh_account(name.to_owned(), Some(password_hash));
        let id = account.id;
        self.write(move |tx| {
            if tx.account_by_name(&account.name)?.is_some() {
                return Err(StoreError::Exists(format!("the user `{}`", account.name)));
            }
            tx.put_account(&account)?;
            tx.put_drive(&home)
        })
        .await?;
        Ok(id)
    }

    /// A new account and its home drive, not yet stored.
    pub(crate) fn fresh_account(&self, name: String, password_hash: Option<String>) -> (Account, Drive) {
        let parts = &self.inner.parts;
        let id = AccountId::from_bytes(parts.entropy.bytes());
        let account = Account { id, name, password_hash, created: parts.clock.now(), disabled: false };
        let home = Drive {
            id: DriveId::from_bytes(parts.entropy.bytes()),
            owner: id,
            name: HOME.to_owned(),
            generation: self.inner.generation,
            head: Seq::START,
        };
        (account, home)
    }

    /// Gives the account of that name another one. Its devices stay signed in.
    pub async fn rename_user(&self, name: &str, new_name: &str) -> Result<(), ServiceError> {
        check_user_name(new_name)?;
        let new_name = new_name.to_owned();
        self.change_user(name, move |account| account.name = new_name).await.map(drop)
    }

    /// Gives the account of that name another password. Its devices stay signed in.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), ServiceError> {
        check_password(password)?;
        let parts = &self.inner.parts;
        let (salt, secret) = (parts.entropy.bytes(), password.to_owned());
        let hash = offload(&parts.tasks, Lane::Hash, move || password::hash(&secret, &salt)).await?;
        self.change_user(name, move |account| account.password_hash = Some(hash)).await.map(drop)
    }

    /// Lets the account of that name be used, or not: then what its devices have under way in this process ends at once.
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<AccountId, ServiceError> {
        let account = self.change_user(name, move |account| account.disabled = disabled).await?;
        if disabled {
            for device in self.read(move |read| read.devices(account)).await? {
                self.inner.sessions.revoke(device.id);
            }
        }
        Ok(account)
    }

    async fn change_user(
        &self,
        name: &str,
        change: impl FnOnce(&mut Account) + Send + 'static,
    ) -> Result<AccountId, ServiceError> {
        let wanted = name.to_owned();
        let changed = self.write(move |tx| {
            let Some(mut account) = tx.account_by_name(&wanted)? else { return Ok(None) };
            change(&mut account);
            tx.put_account(&account).map(|()| Some(account.id))
        });
        changed.await?.ok_or_else(|| ServiceError::UnknownUser(name.to_owned()))
    }

    /// Sets how much an account may keep; `None`: as much as the disk takes.
    pub async fn set_quota(&self, name: &str, limit_bytes: Option<u64>) -> Result<Quota, ServiceError> {
        let wanted = name.to_owned();
        let quota = self.write(move |tx| match tx.account_by_name(&wanted)? {
            Some(account) => {
                tx.put_quota(account.id, limit_bytes)?;
                tx.quota(account.id).map(Some)
            }
            None => Ok(None),
        });
        quota.await?.ok_or_else(|| ServiceError::UnknownUser(name.to_owned()))
    }

    /// How much an account may keep, and does.
    pub async fn quota(&self, account: AccountId) -> Result<Quota, ServiceError> {
        self.read(move |read| read.quota(account)).await
    }

    /// Signs a device out: its token no longer counts, its open feeds and calls in this process end at once. Doing it twice is no error.
    pub async fn revoke_device(&self, name_or_id: &str) -> Result<DeviceId, ServiceError> {
        let wanted = name_or_id.to_owned();
        let found = self.write(move |tx| {
            let mut found = devices_called(tx, &wanted)?;
            if let [device] = found.as_mut_slice()
                && !device.revoked
            {
                device.revoked = true;
                tx.put_device(device)?;
            }
            Ok(found)
        });
        match found.await?.as_slice() {
            [] => Err(ServiceError::UnknownDevice(name_or_id.to_owned())),
            [device] => {
                self.inner.sessions.revoke(device.id);
                Ok(device.id)
            }
            several => Err(ServiceError::AmbiguousDevice {
                name: name_or_id.to_owned(),
                ids: several.iter().map(|device| device.id).collect(),
            }),
        }
    }

    /// Ends the feeds and calls of devices that another process has signed out, or whose account it has disabled. The shell calls this
    /// every second or so.
    pub async fn check_revocations(&self) -> Result<(), ServiceError> {
        let known = self.inner.sessions.devices();
        if known.is_empty() {
            return Ok(());
        }
        let revoked = self.read(move |read| {
            let mut revoked = Vec::new();
            for device in known {
                if !may_call(read, device)? {
                    revoked.push(device);
                }
            }
            Ok(revoked)
        });
        for device in revoked.await? {
            self.inner.sessions.revoke(device);
        }
        Ok(())
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, ServiceError> {
        self.read(|read| read.accounts()).await
    }

    /// All devices, by account and name; those that were signed out too.
    pub async fn devices(&self) -> Result<Vec<Device>, ServiceError> {
        self.read(|read| all_devices(read)).await
    }

    /// Lines of the connection log after that number, oldest first, each with its number; the first one is above 0.
    pub async fn connections_after(&self, number: u64, limit: usize) -> Result<Vec<(u64, Connection)>, ServiceError> {
        self.read(move |read| read.connections_after(number, limit)).await
    }

    /// The newest lines of the connection log, oldest first.
    pub async fn connections(&self, limit: usize) -> Result<Vec<Connection>, ServiceError> {
        self.flush_connections().await?;
        self.read(move |read| read.connections(limit)).await
    }
}

fn all_devices(read: &(impl Read + ?Sized)) -> Result<Vec<Device>, StoreError> {
    let mut devices = Vec::new();
    for account in read.accounts()? {
        devices.extend(read.devices(account.id)?);
    }
    Ok(devices)
}

/// The device of that id; else those of that name, the ones that are signed out only if there is no other.
fn devices_called(read: &(impl Read + ?Sized), name_or_id: &str) -> Result<Vec<Device>, StoreError> {
    if let Ok(id) = name_or_id.parse()
        && let Some(device) = read.device(id)?
    {
        return Ok(vec![device]);
    }
    let called = all_devices(read)?.into_iter().filter(|device| device.name == name_or_id);
    let (revoked, active): (Vec<Device>, Vec<Device>) = called.partition(|device| device.revoked);
    Ok(if active.is_empty() { revoked } else { active })
}

/// Whether a letter steers a terminal, ends a line or turns it around: then a name in a list could pass for something else.
pub fn misleads(letter: char) -> bool {
    let steers = matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    letter.is_control() || steers || (letter.is_whitespace() && letter != ' ')
}

/// Whether a login name can be one.
pub(crate) fn check_user_name(name: &str) -> Result<(), ServiceError> {
    let bad = |reason| Err(ServiceError::BadUserName { name: name.to_owned(), reason });
    match name.chars().count() {
        0 => return bad("it is empty"),
        1..=USER_NAME_CHARS_MAX => {}
        _ => return bad("it has more than 64 characters"),
    }
    if name.trim() != name {
        return bad("it begins or ends with a space");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric() || !first.is_ascii()) {
        return bad("it begins with a sign; begin it with a letter or a digit");
    }
    if name.chars().any(misleads) {
        return bad("it has a character that nobody sees");
    }
    let is_good =
        |letter: char| letter.is_ascii_alphanumeric() || !letter.is_ascii() || USER_NAME_SIGNS.contains(letter);
    if !name.chars().all(is_good) {
        return bad("besides letters and digits it may have spaces and . _ - @ + ' only");
    }
    Ok(())
}

/// Whether a password can be one.
pub(crate) fn check_password(password: &str) -> Result<(), ServiceError> {
    if password.is_empty() {
        return Err(ServiceError::BadPassword("it is empty"));
    }
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(ServiceError::BadPassword("it has fewer than 8 characters"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(ServiceError::BadPassword("it has more than 1024 bytes"));
    }
    Ok(())
}
