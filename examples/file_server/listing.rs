//! The page of a directory: names, sizes and dates, sorted as asked for.
//!
//! Directories come first. Names are shown as UTF-8 (what is not, with replacement characters) and linked byte for byte.

use std::cmp::Reverse;
use std::fmt::Write;

use crate::http::date::Civil;
use crate::page::{escape, page};
use crate::path::{Place, encode};
use crate::tree::Entry;

/// By what a listing is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Name,
    /// The largest first.
    Size,
    /// The latest first.
    Date,
}

const COLUMNS: [(Order, &str, &str, &str); 3] = [
    (Order::Name, "name", "Name", "name"),
    (Order::Size, "size", "Size", "size"),
    (Order::Date, "date", "Modified (UTC)", "date"),
];

impl Order {
    /// By the query of a URL; by name, if it says nothing that is known.
    pub(crate) fn of(query: Option<&str>) -> Order {
        let asked = query.and_then(|query| query.strip_prefix("sort="));
        let column = COLUMNS.iter().find(|(_, name, ..)| Some(*name) == asked);
        column.map_or(Order::Name, |(order, ..)| *order)
    }
}

fn sort(entries: &mut [Entry], order: Order) {
    entries.sort_by_cached_key(|entry| {
        let name = String::from_utf8_lossy(&entry.name).to_lowercase();
        let value = match order {
            Order::Name => 0,
            Order::Size if entry.is_dir => 0,
            Order::Size => entry.size,
            Order::Date => entry.modified,
        };
        (!entry.is_dir, Reverse(value), name, entry.name.clone())
    });
}

/// The page of `place`.
pub(crate) fn listing(place: &Place, mut entries: Vec<Entry>, order: Order) -> String {
    sort(&mut entries, order);
    let mut body = String::with_capacity(1024 + 256 * entries.len());
    title(&mut body, place);
    body.push_str("<table>\n<thead>\n<tr>\n");
    for (this, name, words, class) in COLUMNS {
        let (sorted, direction) = match this {
            _ if this != order => ("", ""),
            Order::Name => (" aria-sort=\"ascending\"", " ▲"),
            _ => (" aria-sort=\"descending\"", " ▼"),
        };
        line(
            &mut body,
            format_args!(
                "<th scope=\"col\" class=\"{class}\"{sorted}><a href=\"?sort={name}\">{words}{direction}</a></th>"
            ),
        );
    }
    body.push_str("</tr>\n</thead>\n<tbody>\n");
    if !place.names.is_empty() {
        body.push_str(
            "<tr class=\"dir\"><td><a href=\"../\">../</a></td><td class=\"size\"></td><td class=\"date\"></td></tr>\n",
        );
    }
    for entry in &entries {
        row(&mut body, entry);
    }
    body.push_str("</tbody>\n</table>\n");
    let dirs = entries.iter().filter(|entry| entry.is_dir).count();
    let files = entries.len() - dirs;
    line(
        &mut body,
        format_args!(
            "<footer>{}, {}</footer>",
            counted(dirs, "directory", "directories"),
            counted(files, "file", "files"),
        ),
    );
    let name = place
        .names
        .last()
        .map_or("/".into(), |name| String::from_utf8_lossy(name));
    page(&name, &body)
}

/// The path, each part of it a link.
fn title(body: &mut String, place: &Place) {
    body.push_str("<h1><a href=\"/\">/</a>");
    let mut url = "/".to_owned();
    for name in &place.names {
        encode(&mut url, name);
        url.push('/');
        let text = escape(&String::from_utf8_lossy(name));
        write!(body, " <a href=\"{url}\">{text}</a> /").expect("a string takes everything");
    }
    body.push_str("</h1>\n");
}

fn row(body: &mut String, entry: &Entry) {
    let slash = if entry.is_dir { "/" } else { "" };
    let class = if entry.is_dir { " class=\"dir\"" } else { "" };
    // `./`, or a name with a colon would be a scheme.
    let mut url = "./".to_owned();
    encode(&mut url, &entry.name);
    let name = escape(&String::from_utf8_lossy(&entry.name));
    let size = match entry.is_dir {
        true => String::new(),
        false => human(entry.size),
    };
    let bytes = match entry.is_dir {
        true => String::new(),
        false => format!(" title=\"{} bytes\"", entry.size),
    };
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Civil::from_seconds(entry.modified);
    line(
        body,
        format_args!(
            "<tr{class}><td><a href=\"{url}{slash}\">{name}{slash}</a></td>\
             <td class=\"size\"{bytes}>{size}</td>\
             <td class=\"date\"><time datetime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\">\
             {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}</time></td></tr>"
        ),
    );
}

fn line(body: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(body, "{text}").expect("a string takes everything");
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A size to three digits.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for name in UNITS {
        // Rounded to "1000 KiB" is still "1000 KiB", but to "1024" is the next unit's 1.
        if value < 1023.5 && !unit.is_empty() {
            break;
        }
        (value, unit) = (value / 1024.0, name);
    }
    match value {
        ..9.995 => format!("{value:.2} {unit}"),
        ..99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}
