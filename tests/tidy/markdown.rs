//! What `tidy` reads in Markdown: links that stay inside the repository, and the headings they lead
//! to.
//!
//! Understands what our pages use: inline links and images, reference definitions, `#` headings,
//! fenced blocks and code spans. GitHub's rule makes a heading's anchor: lower case, punctuation
//! away, spaces to hyphens, and `-1`, `-2` … on repetitions.

use crate::Finding;
use std::collections::HashMap;

/// `text` with fenced blocks and code spans replaced by spaces; lines and columns stay.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        if fence.is_some() || mark.is_some() {
            out.push_str(if line.ends_with('\n') { "\n" } else { "" });
            fence = match (fence, mark) {
                (None, opened) => opened,
                (Some(open), Some(mark)) if open == mark => None,
                (open, _) => open,
            };
            continue;
        }
        let mut in_code = false;
        for char in line.chars() {
            in_code ^= char == '`';
            out.push(if in_code && char != '\n' || char == '`' {
                ' '
            } else {
                char
            });
        }
    }
    out
}

/// The link targets of a page, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text).lines().enumerate() {
        let mut add = |target: &str| {
            let target = target.trim();
            let target = match target.strip_prefix('<') {
                Some(bracketed) => bracketed.split('>').next(),
                None => target.split_whitespace().next(), // a title may follow
            };
            found.push((number + 1, target.unwrap_or("").to_owned()));
        };
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            add(&rest[..rest.find(')').unwrap_or(rest.len())]);
        }
        if let Some((label, target)) = line.trim_start().split_once("]: ")
            && label.starts_with('[')
        {
            add(target);
        }
    }
    found
}

/// The anchors of a page.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut fenced = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        if fenced || !(1..=6).contains(&hashes) || !line[hashes..].starts_with(' ') {
            continue;
        }
        let slug: String = (line[hashes..].trim().chars())
            .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
            .flat_map(char::to_lowercase)
            .map(|char| if char == ' ' { '-' } else { char })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.push(if *count == 0 {
            slug
        } else {
            format!("{slug}-{count}")
        });
        *count += 1;
    }
    anchors
}

/// Findings for every link of the page `path` that leads nowhere. `page` gives the text of a file
/// of the repository, an empty one for a directory, and `None` for what does not exist.
pub(crate) fn broken_links(
    path: &str,
    text: &str,
    page: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue; // outside; the network is not asked
        }
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file = if file.is_empty() {
            Some(path.to_owned())
        } else {
            resolve(path, file)
        };
        let problem = match file.as_deref().and_then(|file| Some((file, page(file)?))) {
            None => {
                format!("the link `{target}` leads to no file; correct its path from this page")
            }
            Some((file, text)) if !anchor.is_empty() && file.ends_with(".md") => {
                if anchors(&text).iter().any(|known| known == anchor) {
                    continue;
                }
                format!("{file} has no heading for the anchor `#{anchor}`")
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(path, line, problem));
    }
    findings
}

/// `target` as seen from the page `from`, or `None` if it is absolute or climbs out of the
/// repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
