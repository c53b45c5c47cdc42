//! Settings, accounts, devices, drives and the connection log.

use skep_types::{DeviceId, DriveId, Generation, Seq};

use super::{account_id, read, seconds};
use crate::{Account, Connection, Device, Drive, MetaStore, StoreError};

/// A setting is what was last put.
pub fn settings(store: &impl MetaStore) {
    assert_eq!(read(store, |read| read.setting("a")), None);
    store.write(|write| write.put_setting("a", b"1")).unwrap();
    store.write(|write| write.put_setting("a", b"2")).unwrap();
    assert_eq!(read(store, |read| read.setting("a")), Some(b"2".to_vec()));
    assert_eq!(read(store, |read| read.setting("b")), None);
}

fn account(number: u8, name: &str) -> Account {
    let password_hash = number.is_multiple_of(2).then(|| "$argon2id$".to_owned());
    Account { id: account_id(number), name: name.to_owned(), password_hash, created: seconds(-5), disabled: number > 2 }
}

/// Accounts are found by id and by name in any case; a name belongs to one of them.
pub fn accounts(store: &impl MetaStore) {
    let (zoe, adam) = (account(1, "Zoë"), account(2, "adam"));
    store.write(|write| write.put_account(&zoe).and_then(|()| write.put_account(&adam))).unwrap();
    assert_eq!(read(store, |read| read.accounts()), [adam.clone(), zoe.clone()]);
    assert_eq!(read(store, |read| read.account(zoe.id)), Some(zoe.clone()));
    assert_eq!(read(store, |read| read.account_by_name("ZOË")), Some(zoe));
    assert_eq!(read(store, |read| read.account_by_name("nobody")), None);
    let taken = store.write(|write| write.put_account(&account(3, "ADAM")));
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    let renamed = Account { name: "Eve".to_owned(), disabled: true, ..adam.clone() };
    store.write(|write| write.put_account(&renamed)).unwrap();
    assert_eq!(read(store, |read| read.account_by_name("adam")), None);
    assert_eq!(read(store, |read| read.account(adam.id)), Some(renamed));
}

/// An account has one classic id at a time, and an id one account.
pub fn classic_ids(store: &impl MetaStore) {
    let (ada, bob) = (account(1, "ada"), account(2, "bob"));
    store.write(|write| write.put_account(&ada).and_then(|()| write.put_account(&bob))).unwrap();
    assert_eq!(read(store, |read| read.classic_id(ada.id)), None);
    store.write(|write| write.put_classic_id(ada.id, &[1; 32])).unwrap();
    assert_eq!(read(store, |read| read.classic_id(ada.id)), Some([1; 32]));
    assert_eq!(read(store, |read| read.account_by_classic_id(&[1; 32])), Some(ada.clone()));
    assert_eq!(read(store, |read| read.account_by_classic_id(&[2; 32])), None);
    let taken = store.write(|write| write.put_classic_id(bob.id, &[1; 32]));
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    // The same one again, then another one instead: the old one is nobody's, and free.
    store.write(|write| write.put_classic_id(ada.id, &[1; 32])).unwrap();
    store.write(|write| write.put_classic_id(ada.id, &[2; 32])).unwrap();
    assert_eq!(read(store, |read| read.account_by_classic_id(&[1; 32])), None);
    assert_eq!(read(store, |read| read.account_by_classic_id(&[2; 32])), Some(ada.clone()));
    store.write(|write| write.put_classic_id(bob.id, &[1; 32])).unwrap();
    // What else is known of an account changes without its id.
    store.write(|write| write.put_account(&Account { name: "Ada".to_owned(), ..ada.clone() })).unwrap();
    assert_eq!(read(store, |read| read.classic_id(ada.id)), Some([2; 32]));
    assert_eq!(read(store, |read| read.account_by_classic_id(&[1; 32])), Some(bob));
}

/// A device of the first account.
pub(super) fn device(number: u8, name: &str) -> Device {
    Device {
        id: DeviceId::from_bytes([number; 8]),
        account: account_id(1),
        name: name.to_owned(),
        platform: "linux x86_64".to_owned(),
        client_version: "skep 0.1.0".to_owned(),
        token_hash: [number; 32],
        created: seconds(1),
        last_seen: seconds(2),
        revoked: false,
    }
}

/// Devices are found by id, token and account; a name belongs to one device of an account that is not signed out.
pub fn devices(store: &impl MetaStore) {
    let (laptop, desk) = (device(1, "laptop"), device(2, "desk"));
    store.write(|write| write.put_device(&laptop).and_then(|()| write.put_device(&desk))).unwrap();
    assert_eq!(read(store, |read| read.devices(account_id(1))), [desk.clone(), laptop.clone()]);
    assert_eq!(read(store, |read| read.devices(account_id(2))), []);
    assert_eq!(read(store, |read| read.device(desk.id)), Some(desk.clone()));
    assert_eq!(read(store, |read| read.device_by_token(&[1; 32])), Some(laptop.clone()));
    assert_eq!(read(store, |read| read.device_by_token(&[3; 32])), None);
    let taken = store.write(|write| write.put_device(&device(3, "desk")));
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    let elsewhere = Device { account: account_id(2), ..device(3, "desk") };
    store.write(|write| write.put_device(&elsewhere)).unwrap();
    let revoked = Device { revoked: true, last_seen: seconds(9), ..desk };
    store.write(|write| write.put_device(&revoked)).unwrap();
    store.write(|write| write.put_device(&device(4, "desk"))).unwrap();
    assert_eq!(read(store, |read| read.device_by_token(&[2; 32])), Some(revoked));
}

/// Drives are found by id and owner, the home drive first; putting one again leaves its journal alone.
pub fn drives(store: &impl MetaStore) {
    let drive = |number: u8, name: &str| Drive {
        id: DriveId::from_bytes([number; 16]),
        owner: account_id(1),
        name: name.to_owned(),
        generation: Generation::from_bytes([number; 16]),
        head: Seq::START,
    };
    let (album, home) = (drive(1, "album"), drive(2, "home"));
    store.write(|write| write.put_drive(&album).and_then(|()| write.put_drive(&home))).unwrap();
    assert_eq!(read(store, |read| read.drives(account_id(1))), [home.clone(), album.clone()]);
    assert_eq!(read(store, |read| read.drives(account_id(2))), []);
    assert_eq!(read(store, |read| read.drive(DriveId::from_bytes([3; 16]))), None);
    let entry = super::directory(1, 1, skep_types::NodeId::ROOT, "a");
    store.write(|write| write.append(home.id, &entry)).unwrap();
    let renamed = Drive { name: "casa".to_owned(), generation: Generation::from_bytes([9; 16]), ..home };
    store.write(|write| write.put_drive(&renamed)).unwrap();
    assert_eq!(read(store, |read| read.drive(renamed.id)), Some(Drive { head: Seq(1), ..renamed.clone() }));
    assert_eq!(read(store, |read| read.entry(renamed.id, Seq(1))), Some(entry));
}

/// The newest lines of the connection log, oldest first.
pub fn connections(store: &impl MetaStore) {
    let line = |number: u8| Connection {
        time: seconds(i64::from(number)),
        peer: format!("127.0.0.1:{number}"),
        account: (number > 1).then(|| account_id(number)),
        device: (number > 2).then(|| DeviceId::from_bytes([number; 8])),
        request: "push".to_owned(),
        outcome: "ok".to_owned(),
        bytes_in: u64::from(number) << 40,
        bytes_out: 2,
        duration_ms: 3,
    };
    store.write(|write| (1..=4).try_for_each(|number| write.put_connection(&line(number)))).unwrap();
    assert_eq!(read(store, |read| read.connections(3)), [line(2), line(3), line(4)]);
    assert_eq!(read(store, |read| read.connections(9)).len(), 4);
    assert_eq!(read(store, |read| read.connections(0)), []);
    let first = read(store, |read| read.connections_after(0, 2));
    assert_eq!(first.iter().map(|(_, line)| line).collect::<Vec<_>>(), [&line(1), &line(2)]);
    let rest = read(store, |read| read.connections_after(first[1].0, 9));
    assert_eq!(rest.iter().map(|(_, line)| line).collect::<Vec<_>>(), [&line(3), &line(4)]);
    assert_eq!(read(store, |read| read.connections_after(rest[1].0, 9)), []);
}
