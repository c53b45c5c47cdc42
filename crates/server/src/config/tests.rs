use super::*;

fn said(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    parse(text).map(|said| said.into_iter().map(|(key, text)| (key.name, text)).collect())
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn known_settings_are_taken_and_unknown_ones_are_explained() {
    let text = "data_dir = '/d'\n[http]\nlisten = '[::]:1'\ntrusted_proxies = ['10.0.0.0/8', '::1']\n\
        [accounts]\nclassic_ids = true\n[limits]\nconnections = 99";
    let expected = [
        ("data_dir", "/d"),
        ("http.listen", "[::]:1"),
        ("http.trusted_proxies", "10.0.0.0/8, ::1"),
        ("accounts.classic_ids", "true"),
        ("limits.connections", "99"),
    ];
    let mut found = said(text).unwrap();
    found.sort_unstable();
    let mut expected = expected.map(|(name, text)| (name, text.to_owned()));
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(said(""), Ok(vec![]));
    for (text, why) in [
        ("[http]\nlissten = 'x'", "there is no setting `http.lissten`; did you mean `http.listen`?"),
        ("[kep]\ntrash = '1d'", "there is no setting `kep.trash`; did you mean `keep.trash`?"),
        ("data_dir = 3", "`data_dir` is a path in quotes, not 3"),
        ("data_dir = 'd'", "`data_dir` must begin at the root, as /d does"),
        (
            "[keep]\ntrash = '1h'",
            "`keep.trash` is a time in quotes, such as \"90d\" or \"36h\", of at least 1d, not `1h`",
        ),
        ("[log]\nformat = 'xml'", "`log.format` is \"text\" or \"json\", not `xml`"),
        ("[limits]\nconnections = 1", "`limits.connections` is a number from 16 to 1000000, not `1`"),
        ("[accounts]\nclassic_ids = 'true'", "`accounts.classic_ids` is true or false, not \"true\""),
    ] {
        assert_eq!(said(text), Err(why.to_owned()), "{text}");
    }
    assert!(said("data_dir = ").is_err());
}

#[test]
fn flags_outweigh_the_environment_which_outweighs_the_file_which_outweighs_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let text = "[http]\nlisten = 'file:1'\n[keep]\ntrash = '5d'\nversions = '6d'\n";
    own_files::replace(&file, text.as_bytes()).unwrap();
    let flags: Flags = vec![
        ("data_dir", "--data-dir", dir.path().to_str().unwrap().to_owned()),
        ("http.listen", "--listen", "flag:1".into()),
    ];
    let environment = variables(&[("SKEP_HTTP__LISTEN", "env:1"), ("SKEP_KEEP__TRASH", "7d"), ("SKEP_HOME", "h")]);
    let resolved = resolve(flags, None, &environment).unwrap();
    assert_eq!(resolved.get("http.listen"), Some(("flag:1", &Origin::Flag("--listen"))));
    assert_eq!(resolved.get("keep.trash"), Some(("7d", &Origin::Environment("SKEP_KEEP__TRASH".into()))));
    assert_eq!(resolved.get("keep.versions"), Some(("6d", &Origin::File(file))));
    assert_eq!(resolved.get("log.format"), Some(("text", &Origin::Default)));
    let settings = resolved.settings().unwrap();
    assert_eq!(settings.retention.trash_ms, 7 * values::DAY_MS);
    assert_eq!((settings.tls, settings.open), (Tls::OwnKey, false));
    assert_eq!(settings.site, Site::at(dir.path()));
}

#[test]
fn variables_that_mean_nothing_are_explained_and_so_are_halves() {
    let flags = || vec![("data_dir", "--data-dir", "/nowhere".to_owned())];
    let slip = resolve(flags(), None, &variables(&[("SKEP_HTTP__LISSTEN", "x")])).unwrap_err();
    assert_eq!(slip.what, "There is no setting for the variable SKEP_HTTP__LISSTEN. Did you mean SKEP_HTTP__LISTEN?");
    let slip = resolve(flags(), None, &variables(&[("SKEP_LOG__FORMAT", "x")])).unwrap_err();
    assert_eq!(slip.what, "The variable SKEP_LOG__FORMAT is \"text\" or \"json\", not `x`.");
    let half = resolve(flags(), None, &variables(&[("SKEP_TLS__KEY", "/k")])).unwrap().settings().unwrap_err();
    assert!(half.what.contains("belong together"), "{half}");
    assert!(resolve(flags(), Some(Path::new("/nowhere/x.toml")), &variables(&[])).is_err());
}

#[test]
fn a_file_that_was_found_in_a_data_directory_cannot_point_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    own_files::replace(&dir.path().join(FILE_NAME), b"data_dir = '/elsewhere'").unwrap();
    let flags = vec![("data_dir", "--data-dir", dir.path().to_str().unwrap().to_owned())];
    assert!(resolve(flags, None, &variables(&[])).unwrap_err().what.contains("cannot name another directory"));
}

#[test]
fn the_reference_is_a_file_that_says_what_holds_anyway() {
    let text = show::reference();
    let unwrapped = text.replace("\n# ", " ");
    for known in &KEYS {
        let about = known.about.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(&about), "{}", known.name);
    }
    // With every default taken in, it is still a file that is understood.
    let uncommented: String =
        text.lines().map(|line| format!("{}\n", line.strip_prefix("#! ").unwrap_or(line))).collect();
    assert!(parse(&uncommented).is_ok(), "{:?}", parse(&uncommented));
}
