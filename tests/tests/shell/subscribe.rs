//! `SUBSCRIBE TO v` at the prompt, alone and on a server, in every result mode.

use eddyline_tests::server::Server;
use eddyline_tests::terminal::Terminal;

use super::TICKS;

const VIEW: &str = "CREATE MATERIALIZED VIEW counts AS SELECT k, COUNT(*) AS n FROM ticks GROUP BY k;";
const EMPTY: &str = "CREATE MATERIALIZED VIEW nothing AS SELECT k, COUNT(*) AS n FROM ticks WHERE k > 5 GROUP BY k;";

/// The number after `epoch ` in the line of figures.
fn epoch(screen: &str) -> Option<u64> {
    let line = screen.lines().find(|line| line.starts_with("epoch "))?;
    line.strip_prefix("epoch ")?.split(',').next()?.parse().ok()
}

fn follows_a_view(shell: &Terminal) {
    shell.does(TICKS);
    shell.does(VIEW);
    shell.clears();
    shell.enter("SUBSCRIBE TO counts;");
    shell.waits("the rows of the view and their epoch", |screen| {
        screen.contains("| k |") && screen.contains("3 rows in set") && epoch(screen).is_some()
    });
    let first = epoch(&shell.screen());
    shell.waits("a later version", |screen| epoch(screen) > first);
    assert_eq!(shell.screen().matches("rows in set").count(), 1, "updates replace rows:\n{}", shell.screen());
    shell.press("C-c");
    shell.prompts();
    assert!(shell.screen().contains("3 rows in set\neddyline>"), "the last state stays:\n{}", shell.screen());

    shell.does("SET 'sql-client.execution.result-mode' = 'changelog';");
    shell.clears();
    shell.enter("SUBSCRIBE TO counts;");
    let change = |screen: &str, op: &str| {
        screen.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words[..], [first, epoch, _, _] if first == op && epoch.parse::<u64>().is_ok())
        })
    };
    shell.waits("changes with their epochs", |screen| {
        screen.contains("op      epoch   k       n") && change(screen, "-U") && change(screen, "+U")
    });
    shell.press("C-c");
    shell.prompts();

    shell.does("SET 'sql-client.execution.result-mode' = 'tableau';");
    shell.clears();
    shell.enter("SUBSCRIBE TO counts;");
    shell.waits("a tableau with epochs", |screen| {
        let head = screen.lines().any(|line| line.split('|').map(str::trim).eq(["", "op", "epoch", "k", "n", ""]));
        head && screen.contains("| -U |")
    });
    shell.press("C-c");
    shell.prompts();
    shell.sees("Query terminated, received a total of ");

    shell.does("\\format csv");
    shell.clears();
    shell.enter("SUBSCRIBE TO counts;");
    shell.waits("lines for other programs", |screen| {
        screen.contains("op,epoch,k,n\n+I,") && screen.lines().any(|line| line.starts_with("+U,"))
    });
    shell.press("C-c");
    shell.prompts();
    shell.does("\\format table");
    shell.does("\\mode table");
}

fn follows_an_empty_view(shell: &Terminal) {
    shell.does(EMPTY);
    shell.clears();
    shell.enter("SUBSCRIBE TO nothing;");
    shell.sees("Empty set");
    shell.press("C-c");
    shell.prompts();
    shell.enter("SELECT 40 + 2;");
    shell.sees("42");
}

#[test]
fn a_subscription_follows_a_view_in_every_mode_until_ctrl_c() {
    let shell = Terminal::shell();
    follows_a_view(&shell);
    follows_an_empty_view(&shell);
}

#[test]
fn a_subscription_over_a_connection_is_the_same() {
    let server = Server::start();
    let shell = Terminal::shell_with(&["--connect", &format!("127.0.0.1:{}", server.port())]);
    follows_a_view(&shell);
    follows_an_empty_view(&shell);
    // It is cancelled when its client has gone on already.
    server.wait_for_status("subscribe", "");
}
