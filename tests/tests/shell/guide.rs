//! The captures in `docs/shell.md` are what a terminal shows.
//!
//! `EDDYLINE_BLESS=1` writes them anew; read the difference before you commit it. Figures that differ from run to run
//! (rows, pace, times) are not compared, everything else is.

use std::fs;

use eddyline_tests::program::workspace;
use eddyline_tests::server::Server;
use eddyline_tests::terminal::Terminal;

/// What stands before and behind a capture named `NAME`.
fn marks(name: &str) -> (String, String) {
    (format!("<!-- capture {name} -->\n```text\n"), "\n```\n".to_string())
}

/// The text without what differs from run to run: digits, and the blanks and lines that their number moves.
fn shape(text: &str) -> String {
    let is_id = |word: &str| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words: Vec<&str> = text.split(' ').map(|word| if is_id(word) { "#" } else { word }).collect();
    let mut shape = String::new();
    for c in words.join(" ").chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        let repeats = matches!(c, '#' | ' ' | '-') && shape.ends_with(c);
        if !repeats {
            shape.push(c);
        }
    }
    shape
}

/// Waits until the screen is the capture in the guide, or puts it there.
#[track_caller]
fn check(terminal: &Terminal, name: &str) {
    let trimmed = |screen: &str| screen.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let path = workspace().join("docs/shell.md");
    let guide = fs::read_to_string(&path).expect("the guide");
    let (before, behind) = marks(name);
    let start =
        guide.find(&before).unwrap_or_else(|| panic!("{} has no capture '{name}'", path.display())) + before.len();
    let end = start + guide[start..].find(&behind).expect("the end of the capture");
    if std::env::var_os("EDDYLINE_BLESS").is_some() {
        let screen = trimmed(&terminal.screen());
        fs::write(&path, format!("{}{screen}{}", &guide[..start], &guide[end..])).expect("the guide can be written");
        return;
    }
    let written = shape(&guide[start..end]);
    let what = format!("the capture '{name}' of the guide; EDDYLINE_BLESS=1 accepts what it shows");
    terminal.waits(&what, |screen| shape(&trimmed(screen)) == written);
}

/// A terminal of the size that fits a page.
fn terminal() -> Terminal {
    Terminal::sized(96, 24)
}

fn shell() -> Terminal {
    let terminal = terminal();
    terminal.run(&[]);
    terminal.prompts();
    terminal
}

const ORDERS: &str = "CREATE TABLE orders (product STRING, price DOUBLE) WITH ('connector' = 'datagen');";

/// One test, because they write the same file.
#[test]
fn captures_of_the_guide_are_true() {
    several_lines();
    completion();
    options();
    error();
    live();
    subscription();
    changelog();
    history();
    connected();
}

fn several_lines() {
    let shell = shell();
    shell.enter("SELECT word, COUNT(*) AS n");
    shell.enter("FROM (VALUES ('eddy'), ('line'), ('eddy')) AS t (word)");
    shell.does_rest("GROUP BY word;");
    shell.sees("2 rows in set");
    check(&shell, "several-lines");
}

fn completion() {
    let shell = shell();
    shell.does(ORDERS);
    shell.type_in("SELECT pr");
    shell.enter("");
    shell.type_in("FROM orders");
    shell.press("Up");
    shell.press("End");
    shell.press("Tab");
    shell.sees("price");
    check(&shell, "completion");
}

fn options() {
    let shell = shell();
    shell.type_in("CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'scan.st");
    shell.press("Tab");
    shell.sees("scan.startup.timestamp-millis");
    check(&shell, "options");
}

fn error() {
    let shell = shell();
    shell.does(ORDERS);
    shell.does("SELECT product, SUM(prise) FROM orders GROUP BY product;");
    shell.does("SELECT UPER(product) FROM orders;");
    shell.does("SELECT * FROM order;");
    check(&shell, "error");
}

fn live() {
    let shell = shell();
    shell.does(
        "CREATE TABLE clicks (page INT, ts AS LOCALTIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) \
         WITH ('connector' = 'datagen', 'rows-per-second' = '50', 'fields.page.min' = '1', 'fields.page.max' = '4');",
    );
    shell.clears();
    shell.enter("SELECT page, COUNT(*) AS clicks FROM clicks GROUP BY page;");
    shell.waits("a view with figures", |screen| {
        screen.contains("4 rows in set") && screen.contains("rows/s, watermark 2")
    });
    check(&shell, "live");
    shell.press("C-c");
    shell.prompts();
    check(&shell, "cancelled");
}

fn subscription() {
    let shell = shell();
    shell.does(
        "CREATE TABLE clicks (page INT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', \
         'fields.page.min' = '1', 'fields.page.max' = '4');",
    );
    shell.does("CREATE MATERIALIZED VIEW per_page AS SELECT page, COUNT(*) AS clicks FROM clicks GROUP BY page;");
    shell.clears();
    shell.enter("SUBSCRIBE TO per_page;");
    shell.waits("a view with figures", |screen| screen.contains("4 rows in set") && screen.contains("rows/s"));
    check(&shell, "subscription");
}

fn changelog() {
    let shell = shell();
    shell.does("SET 'sql-client.execution.result-mode' = 'tableau';");
    shell.does("SET 'pipeline.auto-watermark-interval' = '0ms';");
    shell.enter("SELECT word, COUNT(*) AS n");
    shell.does_rest("FROM (VALUES ('eddy'), ('line'), ('eddy')) AS t (word) GROUP BY word;");
    check(&shell, "tableau");
}

fn history() {
    let shell = shell();
    shell.does("SELECT 'the statement of yesterday';");
    shell.enter("\\q");
    shell.sees("ended with 0");
    shell.run(&[]);
    shell.prompts();
    shell.press("C-r");
    shell.type_in("yester");
    shell.sees("(reverse-i-search)`yester'");
    check(&shell, "history");
}

fn connected() {
    let server = Server::start();
    let terminal = terminal();
    terminal.run(&["--connect", &format!("127.0.0.1:{}", server.port())]);
    terminal.prompts();
    terminal.does("CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen');");
    terminal.does("CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');");
    terminal.does("SET 'pipeline.name' = 'counting';");
    terminal.does("INSERT INTO sink SELECT k FROM ticks;");
    terminal.does("\\d");
    check(&terminal, "connected");
}
