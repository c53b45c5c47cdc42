use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

const WINDOWS: NameRules = NameRules { alphabet: Alphabet::Windows, folds: true, ..NameRules::ALL };
const FOLDING: NameRules = NameRules { folds: true, ..NameRules::ALL };
const TEXT: NameRules = NameRules { alphabet: Alphabet::Text, folds: true, ..NameRules::ALL };
const DECOMPOSING: NameRules = NameRules { normalises: true, ..TEXT };
const SHORT: NameRules = NameRules { bytes_max: 60, ..WINDOWS };
const EACH: [NameRules; 6] = [NameRules::ALL, WINDOWS, FOLDING, TEXT, DECOMPOSING, SHORT];

/// Names that were cut.
#[derive(Default)]
struct Book(RefCell<BTreeMap<u64, Name>>);

impl Book {
    fn get(&self, key: u64) -> Option<Name> {
        self.0.borrow().get(&key).cloned()
    }

    fn marked(&self, rules: &NameRules, name: &Name) -> Name {
        let marked = rules.marked(name);
        if let Some(key) = marked.cut {
            self.0.borrow_mut().insert(key, name.clone());
        }
        marked.stored
    }
}

fn name(bytes: impl Into<Vec<u8>>) -> Name {
    Name::new(bytes).unwrap()
}

fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

/// Names out of everything that is difficult.
fn random_name(next: &mut impl FnMut(u64) -> u64) -> Name {
    const PARTS: [&[u8]; 24] = [
        b"a",
        b"A",
        b"b",
        b".",
        b" ",
        b"~",
        b"0a1b2c3d",
        b"~0123456789abcdef",
        b"CON",
        b"com1",
        b"NUL",
        b":",
        b"?",
        b"\x01",
        b"\xff",
        b"\xc3",
        "é".as_bytes(),
        "e\u{301}".as_bytes(),
        "\u{f03a}".as_bytes(),
        "ß".as_bytes(),
        "日本".as_bytes(),
        "\u{212b}".as_bytes(),
        b".txt",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];
    loop {
        let parts: Vec<&[u8]> = (0..=next(6)).map(|_| PARTS[next(PARTS.len() as u64) as usize]).collect();
        if let Ok(name) = Name::new(parts.concat()) {
            return name;
        }
    }
}

/// Whether Windows takes it as it is.
fn is_for_windows(stored: &Name) -> bool {
    let text = std::str::from_utf8(stored.as_bytes());
    text.is_ok_and(|text| {
        !text.ends_with(['.', ' '])
            && !text.contains(|c: char| c < ' ' || "<>:\"\\|?*".contains(c))
            && !is_device(text.as_bytes())
    })
}

/// What a disk that decomposes spells for what it is given.
fn spelled(rules: &NameRules, given: &Name) -> Name {
    match std::str::from_utf8(given.as_bytes()) {
        Ok(text) if rules.normalises => name(text.nfd().collect::<String>()),
        _ => given.clone(),
    }
}

#[test]
fn each_name_comes_back_from_each_disk_and_fits_on_it() {
    let mut next = numbers(1);
    for _ in 0..20_000 {
        let original = random_name(&mut next);
        for rules in EACH {
            let book = Book::default();
            // Where every name stands as it is, nothing is ever marked.
            let marked = (!rules.hold_all()).then(|| book.marked(&rules, &original));
            for given in rules.plain(&original).into_iter().chain(marked) {
                let stored = spelled(&rules, &given);
                assert!(given.as_bytes().len() <= rules.bytes_max, "{given:?} for {original:?} under {rules:?}");
                assert!(rules.is_same(&given, &stored));
                let allowed = rules.alphabet != Alphabet::Windows || is_for_windows(&given);
                assert!(allowed, "{given:?} for {original:?} under {rules:?}");
                let is_text = rules.alphabet == Alphabet::Bytes || std::str::from_utf8(given.as_bytes()).is_ok();
                assert!(is_text, "{given:?} for {original:?} under {rules:?}");
                let meant = rules.meaning(&stored, |key| book.get(key));
                assert_eq!(meant, original, "stored as {stored:?} under {rules:?}");
            }
        }
    }
}

#[test]
fn each_entry_stands_for_a_name_that_leads_to_it() {
    let mut next = numbers(2);
    for _ in 0..20_000 {
        let stored = random_name(&mut next);
        for rules in EACH {
            let meant = rules.meaning(&stored, |_| None);
            let forms = [rules.plain(&meant), Some(rules.marked(&meant).stored), Some(meant.clone())];
            let leads = forms.into_iter().flatten().any(|form| rules.is_same(&form, &stored));
            assert!(leads, "{stored:?} means {meant:?} under {rules:?}");
        }
    }
}

#[test]
fn names_that_a_disk_takes_for_one_are_marked_differently() {
    for names in [["readme.md", "README.md"], ["\u{e9}", "e\u{301}"]] {
        for rules in EACH {
            let [one, other] = names.map(|text| rules.marked(&name(text)).stored);
            let folded = |name: &Name| name.display().to_lowercase().nfc().collect::<String>();
            assert_ne!(folded(&one), folded(&other));
        }
    }
}

#[test]
fn what_people_see() {
    let shown = |rules: &NameRules, text: &str| {
        let name = name(text);
        rules.plain(&name).unwrap_or_else(|| rules.marked(&name).stored).display().into_owned()
    };
    assert_eq!(shown(&FOLDING, "a:b."), "a:b.");
    assert_eq!(shown(&WINDOWS, "plain.txt"), "plain.txt");
    assert_eq!(shown(&WINDOWS, "a:b"), "a\u{f03a}b");
    assert_eq!(shown(&WINDOWS, "x."), "x\u{f02e}");
    assert_eq!(shown(&WINDOWS, "CON.tar.gz"), "CON~f34361a8.tar.gz");
    assert_eq!(FOLDING.marked(&name("README.md")).stored.display(), "README~5c2f920d.md");
}

#[test]
fn what_only_looks_like_a_mark_is_a_name() {
    for text in ["a~0a1b2c3d", "a~0123456789abcdef.txt", "~", "a\u{f0c3}"] {
        assert_eq!(FOLDING.meaning(&name(text), |_| None), name(text));
        assert_eq!(NameRules::ALL.plain(&name(text)), Some(name(text)));
    }
}
