//! Join codes, knocks, and removing accounts.

use skep_blobstore::{PackId, RecordPlace};
use skep_types::{ChunkId, DriveId, NodeId};

use super::{account_id, directory, read, seconds, some_drive};
use crate::{Account, ChunkPlace, Device, JoinCodeRow, KnockAnswerRow, KnockEnd, KnockRow, KnockStanding, MetaStore};

fn code(locator: u16, made: i64) -> JoinCodeRow {
    let letters = [locator as u8; 8];
    JoinCodeRow {
        locator,
        letters,
        account: Some(account_id(1)),
        user: None,
        made: seconds(made),
        ends: seconds(made + 9),
        tries: 5,
    }
}

/// Codes are listed by age; a locator has one.
pub fn join_codes(store: &impl MetaStore) {
    assert_eq!(read(store, |read| read.join_codes()), []);
    let (new, old) = (code(1, 7), JoinCodeRow { account: None, user: Some("Ada".to_owned()), ..code(1023, 3) });
    store.write(|write| write.put_join_code(&new).and_then(|()| write.put_join_code(&old))).unwrap();
    assert_eq!(read(store, |read| read.join_codes()), [old.clone(), new.clone()]);
    let tried = JoinCodeRow { tries: 4, ..new };
    store.write(|write| write.put_join_code(&tried)).unwrap();
    store.write(|write| write.remove_join_code(1023)).unwrap();
    store.write(|write| write.remove_join_code(1023)).unwrap();
    assert_eq!(read(store, |read| read.join_codes()), [tried]);
}

/// Knocks are listed by age; a locator has one, and each standing reads back.
pub fn knocks(store: &impl MetaStore) {
    let knock = |locator: u16, made: i64| KnockRow {
        locator,
        secret_hash: [locator as u8; 32],
        name: "nas".to_owned(),
        platform: "linux".to_owned(),
        client_version: "test 1".to_owned(),
        user: None,
        drive: None,
        peer: "192.0.2.7:5000".to_owned(),
        made: seconds(made),
        ends: seconds(made + 9),
        message: vec![1, 2],
        round: 0,
        refused: None,
        standing: KnockStanding::Waiting,
    };
    assert_eq!(read(store, |read| read.knocks()), []);
    let named = KnockRow { user: Some("Ada".to_owned()), drive: Some(DriveId::from_bytes([3; 16])), ..knock(1023, 3) };
    let (new, old) = (knock(1, 7), named);
    store.write(|write| write.put_knock(&new).and_then(|()| write.put_knock(&old))).unwrap();
    assert_eq!(read(store, |read| read.knocks()), [old.clone(), new.clone()]);
    let answer = KnockAnswerRow {
        id: [5; 16],
        account: account_id(1),
        message: vec![3],
        proof: [6; 32],
        expected_hash: [7; 32],
        approves: true,
        made: seconds(8),
    };
    let ended = |end| KnockStanding::Ended { answer: [5; 16], end };
    let entered = ended(KnockEnd::Entered { device_name: "nas 2".to_owned() });
    let standings = [KnockStanding::Answered(answer), entered, ended(KnockEnd::Denied), ended(KnockEnd::Wrong)];
    for standing in standings {
        let answered = KnockRow { round: 1, refused: Some([9; 16]), standing, ..new.clone() };
        store.write(|write| write.put_knock(&answered)).unwrap();
        assert_eq!(read(store, |read| read.knocks()), [old.clone(), answered]);
    }
    store.write(|write| write.remove_knock(1)).unwrap();
    store.write(|write| write.remove_knock(1)).unwrap();
    assert_eq!(read(store, |read| read.knocks()), [old]);
}

/// An account goes with all that is its own, a bounded number of rows at a time, and nothing else goes.
pub fn what_is_removed_leaves_no_row(store: &impl MetaStore) {
    let (gone, stays) = (some_drive(store, 1), some_drive(store, 2));
    let chunk = ChunkId::from_bytes([1; 32]);
    let record = RecordPlace { pack: PackId(1), offset: 0, length: 9 };
    let place = ChunkPlace { record, index: 0, length: 9 };
    for drive in [gone, stays] {
        store
            .write(|write| {
                (1..=5).try_for_each(|seq| {
                    write.append(drive, &directory(seq, seq as u8, NodeId::ROOT, &format!("{seq}")))
                })?;
                write.put_chunk(drive, chunk, &place, seconds(1))
            })
            .unwrap();
    }
    for number in [1, 2] {
        let name = format!("account {number}");
        let account =
            Account { id: account_id(number), name, password_hash: None, created: seconds(1), disabled: false };
        let device = Device { account: account.id, ..super::people::device(number, "laptop") };
        store
            .write(|write| {
                write.put_account(&account)?;
                write.put_classic_id(account.id, &[number; 32])?;
                write.put_device(&device)?;
                write.put_join_code(&JoinCodeRow { account: Some(account.id), ..code(u16::from(number), 1) })
            })
            .unwrap();
    }
    let rounds = (0..100).take_while(|_| store.write(|write| write.remove_drive_rows(gone, 2)).unwrap()).count();
    assert_eq!(rounds, 4, "ten rows, two at a time, the last with the chunk and the drive");
    store.write(|write| write.remove_account(account_id(1))).unwrap();

    assert_eq!(read(store, |read| read.drive(gone)), None);
    assert!(!store.write(|write| write.remove_drive_rows(gone, 2)).unwrap());
    assert_eq!(read(store, |read| read.account_by_classic_id(&[1; 32])), None);
    assert_eq!(read(store, |read| read.devices(account_id(1))), []);
    let left =
        read(store, |read| Ok((read.accounts()?.len(), read.devices(account_id(2))?.len(), read.join_codes()?.len())));
    assert_eq!(left, (1, 1, 1));
    assert_eq!(read(store, |read| read.nodes(stays, None, 10)).len(), 5);
    assert!(read(store, |read| read.chunks(stays, &[chunk]))[0].is_some());
    // A drive of that id may come again, and has nothing of the old one.
    assert_eq!(some_drive(store, 1), DriveId::from_bytes([1; 16]));
    assert_eq!(read(store, |read| read.nodes(gone, None, 10)), []);
    assert_eq!(read(store, |read| read.chunks(gone, &[chunk])), [None]);
}
