//! Sizes, as people read them.

/// `18.2 kB`.
pub fn bytes_text(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        let texts = [0, 999, 18_250, 4_700_000_000].map(bytes_text);
        assert_eq!(texts, ["0 B", "999 B", "18.2 kB", "4.7 GB"]);
    }
}
