//! Where two histories part.

use skep_types::{CommitId, DeviceId, Fork};

use super::*;

fn generation(number: u8) -> Generation {
    Generation::from_bytes([number; 16])
}

fn version(seq: u64) -> Version {
    Version { seq: Seq(seq), commit: CommitId::new(DeviceId::from_bytes([1; 8]), [seq as u8; 8]) }
}

/// Forks as parent, position, child.
fn lineage(forks: &[(u8, u64, u8)]) -> Lineage {
    let forks: Vec<Fork> = forks
        .iter()
        .map(|(parent, at, child)| Fork { parent: generation(*parent), at: Seq(*at), generation: generation(*child) })
        .collect();
    let generation = forks.last().map_or(generation(1), |fork| fork.generation);
    let head = Cursor { generation, seq: Seq(100), commit: Some(version(100).commit) };
    Lineage { head, floor: Seq::START, forks, standings: Vec::new() }
}

/// What, the server's lineage, the cursor's generation, the last that is held, whether something is not there, the common ground.
type Row<'a> = (&'a str, &'a Lineage, u8, Option<u64>, bool, u64);

#[test]
fn what_is_proved_counts_first_then_the_generations() {
    let twice = lineage(&[(1, 60, 2), (2, 40, 3)]);
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("away for long, same history",        &lineage(&[]),          1, Some(30), false, 50),
        ("nothing left that proves it",        &lineage(&[]),          1, None,     false, 50),
        ("beyond a fork, thinned there",       &lineage(&[(1, 40, 2)]), 1, Some(30), false, 40),
        ("proved beyond what the fork tells",  &lineage(&[(1, 40, 2)]), 1, Some(45), false, 45),
        ("before the fork",                    &lineage(&[(1, 60, 2)]), 1, Some(30), false, 50),
        ("two forks, the earlier one counts",  &twice,                 1, Some(30), false, 40),
        ("a generation that nobody knows",     &lineage(&[]),          9, Some(30), false, 30),
        ("something is certainly not there",   &lineage(&[]),          1, Some(30), true,  30),
        ("nothing is there",                   &lineage(&[]),          1, None,     true,  0),
    ];
    for (what, lineage, of, held, is_departed, expected) in rows {
        let ground = Ground { held: held.map(version), is_departed: *is_departed };
        let cursor = Cursor { generation: generation(*of), seq: Seq(50), commit: Some(version(50).commit) };
        assert_eq!(common(ground, lineage, &cursor), Seq(*expected), "{what}");
    }
}

#[test]
fn the_parting_is_found_however_few_are_asked_about_at_a_time() {
    let commits: Vec<Version> = (1..=50).map(version).collect();
    for asked_max in [2, 3, 7, 50, 1000] {
        for parting in 0..=50u64 {
            let mut search = Search::new(&commits, asked_max);
            let mut rounds = 0;
            while let Some(asked) = search.next_question() {
                rounds += 1;
                assert!(asked.len() <= asked_max && rounds <= 10, "{asked_max} {parting}");
                let told = |version: &Version| if version.seq.0 <= parting { Standing::Held } else { Standing::Other };
                search.answered(&asked.iter().map(told).collect::<Vec<_>>());
            }
            let held = (parting > 0).then(|| version(parting));
            assert_eq!(search.ground, Ground { held, is_departed: parting < 50 }, "{asked_max}");
        }
    }
}

#[test]
fn a_thin_journal_ends_the_search() {
    let commits: Vec<Version> = (1..=50).map(version).collect();
    let mut search = Search::new(&commits, 4);
    let mut rounds = 0;
    while let Some(asked) = search.next_question() {
        rounds += 1;
        let told = |version: &Version| if version.seq.0 == 12 { Standing::Held } else { Standing::Thinned };
        search.answered(&asked.iter().map(told).collect::<Vec<_>>());
    }
    assert!(rounds < 10);
    assert!(!search.ground.is_departed && search.ground.held.is_none_or(|held| held == version(12)));
}
