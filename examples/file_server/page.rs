//! HTML for people: the frame of every page, and the page of an error.
//!
//! One page, no script, nothing loaded from elsewhere; light and dark as the reader's system has it.

use crate::http::reply::Status;

/// Allows a page its own style and nothing else, whatever gets into it.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c2024;--soft:#60646c;--line:#e4e6ea;--hover:#f3f5f8;--link:#0b5cad;--back:#fff}
@media(prefers-color-scheme:dark){:root{--text:#e8eaed;--soft:#9aa0a6;--line:#33373d;--hover:#25282d;--link:#8ab8f0;--back:#181a1d}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1{margin:0 0 1.5rem;font-size:1.35rem;font-weight:600;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
table{width:100%;border-collapse:collapse}
th,td{padding:.4rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{font-size:.85rem;font-weight:600;white-space:nowrap}
th a{color:var(--soft)}
td:first-child{overflow-wrap:anywhere}
.size,.date{white-space:nowrap;color:var(--soft);font-variant-numeric:tabular-nums}
.size{text-align:right}
tbody tr:hover{background:var(--hover)}
.dir a{font-weight:600}
footer,.note{margin-top:1rem;color:var(--soft);font-size:.9rem}
@media(max-width:34rem){.date{display:none}}
";

/// A whole page. `title` is text, `body` is HTML.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// The page of an error: what it is, and a way on.
pub(crate) fn error(status: Status, explanation: &str) -> String {
    let Status(code, words) = status;
    let body = format!(
        "<h1>{code} {words}</h1>\n<p>{}</p>\n<p class=\"note\"><a href=\"/\">To the start</a></p>\n",
        escape(explanation)
    );
    page(&format!("{code} {words}"), &body)
}

/// Makes text of what could be markup, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in HTML, and a name may have them.
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
