//! psql's completion, in a terminal: what a Tab makes of what was typed.

use eddyline_tests::server::Server;
use eddyline_tests::terminal::Terminal;

use super::TABLES;

const PROMPT: &str = "default_catalog=>";

fn psql(server: &Server) -> Terminal {
    let terminal = Terminal::sized(160, 40);
    terminal.run_command(&server.psql_command(&[]));
    terminal.waits("psql's prompt", |screen| screen.ends_with(PROMPT));
    terminal
}

/// A line of its own, with Tab pressed so often.
fn press_tab(psql: &Terminal, typed: &str, times: usize) {
    psql.press("C-u");
    psql.press("C-l");
    psql.waits("an empty line", |screen| screen == PROMPT);
    psql.type_in(typed);
    (0..times).for_each(|_| psql.press("Tab"));
}

#[test]
fn one_tab_completes_a_name() {
    let server = Server::start();
    server.psql(TABLES);
    server.psql("CREATE MATERIALIZED VIEW per_k AS SELECT k, COUNT(*) AS n FROM odd GROUP BY k");
    let psql = psql(&server);
    for (typed, completed) in [
        ("SELECT * FROM cou", "SELECT * FROM counts"),
        ("SELECT * FROM per", "SELECT * FROM per_k"),
        ("SELECT * FROM counts WHERE s", "SELECT * FROM counts WHERE seen"),
        ("SELECT k, n FROM pub", "SELECT k, n FROM public."),
        ("SELECT k, n FROM public.tic", "SELECT k, n FROM public.ticks"),
        ("INSERT INTO cou", "INSERT INTO counts"),
        ("UPDATE counts SET s", "UPDATE counts SET seen"),
        ("DELETE FROM cou", "DELETE FROM counts"),
        ("TABLE od", "TABLE odd"),
        ("DROP TABLE co", "DROP TABLE counts"),
        ("DROP VIEW o", "DROP VIEW odd"),
        ("DROP MATERIALIZED VIEW pe", "DROP MATERIALIZED VIEW per_k"),
        ("COMMENT ON TABLE co", "COMMENT ON TABLE counts"),
        ("SHOW server_version_", "SHOW server_version_num"),
        ("\\d cou", "\\d counts"),
        ("\\d+ per_k_", "\\d+ per_k_pkey"),
        ("\\dm pe", "\\dm per_k"),
        ("\\dv o", "\\dv odd"),
        ("\\di cou", "\\di counts_pkey"),
        ("\\sv o", "\\sv odd"),
        ("\\c def", "\\c default_catalog"),
        ("\\dconfig lc_coll", "\\dconfig lc_collate"),
    ] {
        press_tab(&psql, typed, 1);
        psql.waits(&format!("{completed} for {typed}"), |screen| screen == format!("{PROMPT} {completed}"));
    }
}

#[test]
fn two_tabs_list_what_is_possible() {
    let server = Server::start();
    server.psql(TABLES);
    server.psql("CREATE MATERIALIZED VIEW per_k AS SELECT k, COUNT(*) AS n FROM odd GROUP BY k");
    let psql = psql(&server);
    for (typed, listed) in [
        ("SELECT * FROM public.", "public.counts  public.odd     public.per_k   public.ticks"),
        ("SELECT * FROM counts WHERE ", "k     n     seen"),
        ("INSERT INTO counts (", "k     n     seen"),
        ("UPDATE counts SET ", "k     n     seen"),
        ("DELETE FROM counts WHERE ", "k     n     seen"),
        ("\\d ", "counts       counts_pkey  odd          per_k        per_k_pkey   public.      ticks"),
        ("DROP TABLE ", "counts   public.  ticks"),
        ("\\dn p", "pg_catalog  public"),
    ] {
        press_tab(&psql, typed, 2);
        psql.waits(&format!("{listed} for {typed}"), |screen| {
            screen.lines().nth(1).is_some_and(|l| l.trim() == listed)
        });
    }
}
