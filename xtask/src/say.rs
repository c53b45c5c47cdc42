//! What a task prints: times and sizes for people, tables, errors with the next step.

use std::io::IsTerminal;
use std::time::Duration;

/// A duration as a person says it: `84 ms`, `3.4 s`, `2 min 05 s`.
pub fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    match milliseconds {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1000.0),
        _ => format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// A number of bytes as a person says it, in powers of 1000.
pub fn size(bytes: u64) -> String {
    let amount = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", amount / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", amount / 1e6),
        _ => format!("{:.2} GB", amount / 1e9),
    }
}

/// How a piece of text is meant; shown by colour on a terminal only, so that nothing depends on colour.
#[derive(Debug, Clone, Copy)]
pub enum Tone {
    /// It went as it should.
    Good,
    /// It did not.
    Bad,
    /// Less important than what stands beside it.
    Quiet,
    /// A heading.
    Strong,
}

/// `text` in its tone, for standard output.
pub fn toned(tone: Tone, text: &str) -> String {
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => 32,
        Tone::Bad => 31,
        Tone::Quiet => 2,
        Tone::Strong => 1,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// A table with aligned columns; columns named in `right` are aligned to the right.
pub fn table(head: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("  {}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(head.to_vec());
    let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    text += &line(rules.iter().map(String::as_str).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// An error with its causes, on standard error.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations_and_sizes_read_as_people_say_them() {
        let said = [0.0042, 0.42, 4.2, 125.0].map(|seconds| super::duration(Duration::from_secs_f64(seconds)));
        assert_eq!(said, ["4.2 ms", "420 ms", "4.2 s", "2 min 05 s"]);
        let said = [999, 1_500, 20_000_000, 1_250_000_000].map(super::size);
        assert_eq!(said, ["999 B", "1.5 kB", "20.0 MB", "1.25 GB"]);
    }

    #[test]
    fn a_table_is_aligned() {
        let rows = [vec!["a".to_owned(), "10 s".to_owned()], vec!["long".to_owned(), "1 s".to_owned()]];
        let expected = "  what  time\n  ----  ----\n  a     10 s\n  long   1 s\n";
        assert_eq!(super::table(&["what", "time"], &[1], &rows), expected);
    }
}
