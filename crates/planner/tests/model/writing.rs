//! A save is sent when it is done: files that programs have open and write wait for the close, or for a while.

use skep_types::{Change, Limits};

use crate::disk::{Body, ROOT};
use crate::rules::{act, put, run, text};
use crate::world::{World, name};
use crate::{in_many_orders, settle};

const QUIET_MS: u64 = Limits::SHIPPED.writing_quiet_ms;
const WAIT_MAX_MS: u64 = Limits::SHIPPED.writing_wait_max_ms;

/// What the first computer shows of the file `a` from now on, written by a program that has it open.
fn write_on(world: &mut World, content: u64) {
    let disk = &mut world.clients[0].disk;
    let inode = disk.get(ROOT, &name("a")).unwrap();
    disk.write(inode, content);
    disk.changes.push((ROOT, name("a"), Change::Writing));
}

fn close(world: &mut World) {
    world.clients[0].disk.changes.push((ROOT, name("a"), Change::Bytes));
}

/// Lets the time pass, with all that happens in it.
fn pass(world: &mut World, ms: u64) {
    let end = world.at_ms + ms;
    world.run_until(end);
    world.at_ms = end;
}

fn there(world: &World) -> String {
    text(&world.clients[1].disk)
}

fn is_settled(world: &World) -> bool {
    world.clients[0].engine.progress(&world.clients[0].trees).settled
}

#[test]
fn a_save_is_sent_when_the_file_is_closed_and_then_at_once() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1");
        world.run();
        for content in [0, 2] {
            write_on(world, content);
            pass(world, QUIET_MS - 1);
            assert_eq!(there(world), "a=1");
            assert!(!is_settled(world));
            let (state, _) = world.clients[0].engine.explain(&world.clients[0].trees, &[name("a")]);
            assert_eq!(state, "waiting");
        }
        write_on(world, 3);
        close(world);
        // What is due after a moment only is not waited for.
        pass(world, Limits::SHIPPED.racy_ms);
        assert_eq!(there(world), "a=3");
        world.run();
        world.check(&[3].into());
        assert_eq!(world.drive.journal().len(), 2);
    });
}

#[test]
fn a_new_file_is_sent_when_it_is_closed() {
    in_many_orders(2, |world| {
        world.run();
        put(&mut world.clients[0].disk, ROOT, &name("a"), Body::File(0));
        world.clients[0].disk.changes.push((ROOT, name("a"), Change::Made));
        pass(world, 100);
        assert_eq!(there(world), "");
        write_on(world, 1);
        pass(world, 100);
        assert_eq!(there(world), "");
        close(world);
        pass(world, 100);
        assert_eq!(there(world), "a=1");
        // Another name for what is written already is nothing that somebody writes.
        put(&mut world.clients[0].disk, ROOT, &name("b"), Body::File(2));
        world.clients[0].disk.changes.push((ROOT, name("b"), Change::Made));
        pass(world, 100);
        assert_eq!(there(world), "a=1 b=2");
        assert_eq!(world.drive.journal().len(), 2);
    });
}

#[test]
fn a_file_that_stays_open_is_sent_when_it_was_quiet_for_a_while() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1");
        world.run();
        write_on(world, 2);
        pass(world, QUIET_MS + 100);
        assert_eq!(there(world), "a=2");
        assert!(is_settled(world));
        // It counts from the last write, whatever was before.
        write_on(world, 3);
        pass(world, QUIET_MS - 1);
        assert_eq!(there(world), "a=2");
        pass(world, 100);
        assert_eq!(there(world), "a=3");
    });
}

#[test]
fn a_file_that_is_written_all_the_time_is_sent_now_and_then() {
    const EVERY_MS: u64 = QUIET_MS / 2;
    in_many_orders(2, |world| {
        run(world, 0, "a=1");
        world.run();
        let mut sent = Vec::new();
        for content in 2..2 + 3 * WAIT_MAX_MS / EVERY_MS {
            write_on(world, content);
            pass(world, EVERY_MS);
            sent.push(there(world));
        }
        sent.dedup();
        assert!((4..=10).contains(&sent.len()), "{sent:?}");
        world.run();
        assert!(is_settled(world));
        world.check(&[].into());
    });
}

#[test]
fn a_file_that_is_renamed_while_it_is_written_waits_under_its_new_name() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1");
        world.run();
        write_on(world, 0);
        pass(world, 100);
        act(&mut world.clients[0].disk, "mv a b");
        pass(world, 1_000);
        assert!(!is_settled(world));
        let inode = world.clients[0].disk.get(ROOT, &name("b")).unwrap();
        world.clients[0].disk.edit(ROOT, &name("b"), inode, 2);
        pass(world, 100);
        assert_eq!(there(world), "b=2");
        world.check(&[2].into());
    });
}

#[test]
fn a_file_that_is_closed_and_renamed_in_one_moment_does_not_wait() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1 d/");
        world.run();
        for (content, target) in [(2, "b"), (3, "d/c")] {
            write_on(world, 0);
            pass(world, 100);
            let inode = world.clients[0].disk.get(ROOT, &name("a")).unwrap();
            world.clients[0].disk.edit(ROOT, &name("a"), inode, content);
            act(&mut world.clients[0].disk, &format!("mv a {target}, write a 9"));
            pass(world, 500);
            assert!(is_settled(world));
            assert!(there(world).contains(&format!("{target}={content}")), "{}", there(world));
        }
    });
}

#[test]
fn a_file_that_is_replaced_while_it_is_written_does_not_hold_up_the_other_one() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1 b=2");
        world.run();
        write_on(world, 0);
        pass(world, 100);
        act(&mut world.clients[0].disk, "mv b a");
        pass(world, 1_000);
        assert_eq!(there(world), "a=2");
        assert!(is_settled(world));
    });
}

#[test]
fn where_no_hints_come_a_file_is_sent_when_it_is_old_enough() {
    in_many_orders(2, |world| {
        world.clients[0].is_deaf = true;
        run(world, 0, "a=1");
        pass(world, QUIET_MS);
        settle(world);
        assert_eq!(there(world), "a=1");
        for content in [0, 2] {
            world.clients[0].disk.clock_ms = world.at_ms - 10;
            write_on(world, content);
            world.clients[0].inbox.push(skep_planner::Event::ScanDue);
            pass(world, QUIET_MS / 2);
            assert_eq!(there(world), "a=1");
            assert!(!is_settled(world));
        }
        pass(world, QUIET_MS + 100);
        assert_eq!(there(world), "a=2");
        assert!(is_settled(world));
    });
}
