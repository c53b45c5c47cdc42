//! `skep get`: a copy of a file as it is or was.

use std::io::Write;

use bytes::Bytes;
use serde_json::json;
use skep_client::ContentError;
use skep_platform::talk::{Complaint, Exit};
use skep_types::{Content, FileContent, Mode, Name};

use crate::args::{GetArgs, Global};
use crate::clock;
use crate::commands::print_json;
use crate::engine::{self, Copied};
use crate::names;
use crate::past::{self, Asked, Talk};
use crate::status::{SCHEMA, bytes_text};
use crate::terminal;

/// Gets a copy.
pub async fn get(global: &Global, args: &GetArgs) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let path = talk.path(&args.path)?;
    let now = clock::now();
    let which = match past::asked(&args.which, &now)? {
        Asked::Safe(number) => return out_of_safe(global, &talk, &path, number, args),
        Asked::Server(which) => Some(which),
        Asked::Nothing => None,
    };
    let found = talk.found(&path).await?;
    let (content, mode) = match which {
        Some(which) => {
            let entry = talk.chosen(&path, &found, which, &now).await?;
            (entry.state.content, entry.state.mode)
        }
        None => (found[0].state.content.clone(), found[0].state.mode),
    };
    let shown = format!("`{}`", names::display_names(&path));
    let file = match &content {
        Content::File(file) => *file,
        Content::Symlink { target } => {
            let target = names::printable(&String::from_utf8_lossy(target));
            let what = format!("{shown} is a link, to `{target}`: it has no content of its own.");
            return Err(Complaint::new(Exit::Usage, "E-USAGE", what));
        }
        Content::Directory | Content::Mount { .. } => {
            return Err(Complaint::new(Exit::Usage, "E-USAGE", format!("{shown} is a directory.")));
        }
    };
    if args.output.as_os_str() == "-" {
        let mut out = std::io::stdout().lock();
        let written = write_to(&talk, &file, &mut out).await.and_then(|()| Ok(out.flush()?));
        written.map_err(|error| talk.content_failed(error, &shown))?;
        return Ok(Exit::Done);
    }
    let mut copied = Copied::begin(&args.output)?;
    let written = write_to(&talk, &file, copied.writer()).await;
    if let Err(error) = written {
        // A part of a file must not pass for the file.
        copied.drop_it();
        return Err(talk.content_failed(error, &shown));
    }
    copied.finish(file.mtime, mode)?;
    tell(global, args, file.size)
}

async fn write_to(talk: &Talk, file: &FileContent, to: &mut impl Write) -> Result<(), ContentError> {
    talk.past.content(file, |bytes: &Bytes| to.write_all(bytes)).await
}

fn out_of_safe(global: &Global, talk: &Talk, path: &[Name], number: usize, args: &GetArgs) -> Result<Exit, Complaint> {
    let name = path.last().ok_or_else(|| past::nothing_there(path))?;
    let entries = talk.safe_entries(name)?;
    let chosen = entries.get(number - 1).ok_or_else(|| {
        let what =
            format!("The safe of this computer has no version safe{number} of `{}`.", names::display_names(path));
        Complaint::new(Exit::NotFound, "E-NOT-FOUND", what).hint("See what it has:   skep trash ls --safe")
    })?;
    let reader = talk.safe()?.read(&chosen.entry);
    let mut reader = reader.map_err(|error| engine::disk_complaint(&talk.config, error))?;
    let failed = |error: std::io::Error| {
        Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot copy `{}`: {error}.", names::display_names(path)))
    };
    if args.output.as_os_str() == "-" {
        std::io::copy(&mut reader, &mut std::io::stdout().lock()).map_err(failed)?;
        return Ok(Exit::Done);
    }
    let mut copied = Copied::begin(&args.output)?;
    if let Err(error) = std::io::copy(&mut reader, copied.writer()) {
        copied.drop_it();
        return Err(failed(error));
    }
    copied.finish(chosen.stat.mtime, Mode { executable: chosen.stat.executable })?;
    tell(global, args, chosen.stat.size)
}

fn tell(global: &Global, args: &GetArgs, size: u64) -> Result<Exit, Complaint> {
    let output = args.output.display().to_string();
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "output": output, "size": size }))?;
    } else if !global.quiet {
        terminal::say(&format!("Got {} as {}.", bytes_text(size), names::printable(&output)));
    }
    Ok(Exit::Done)
}
