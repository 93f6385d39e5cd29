//! While a statement is typed: several lines, completion, colours, history, errors with their place.

use eddyline_tests::terminal::Terminal;

#[test]
fn a_statement_may_span_lines_and_shows_a_table() {
    let shell = Terminal::shell();
    shell.enter("SELECT 1 AS a, -- a semicolon; in a comment");
    shell.enter("  'x;");
    shell.enter("y' AS b;");
    shell.sees("| 1 | x;\\ny |\n+---+-------+\n1 row in set");
    shell.prompts();
}

#[test]
fn statements_on_one_line_are_executed_one_after_the_other() {
    let shell = Terminal::shell();
    shell.does("CREATE TABLE t (a INT) WITH ('connector' = 'print'); SHOW TABLES; SELECT nothing FROM t; SHOW VIEWS;");
    shell.sees("|          t |");
    shell.sees("ERROR: Column 'nothing' not found in any table");
    assert!(!shell.screen().contains("Empty set"), "nothing runs behind the first error:\n{}", shell.screen());
}

#[test]
fn tab_completes_names_options_settings_and_files() {
    let shell = Terminal::shell();
    shell.does("CREATE TABLE orders (order_id INT, price DECIMAL(10, 2)) WITH ('connector' = 'datagen');");
    let completes = |typed: &str, expected: &str| {
        shell.type_in(typed);
        shell.press("Tab");
        shell.sees(&format!("eddyline> {expected}"));
        shell.press("C-c");
        shell.clears();
    };
    completes("sel", "select");
    completes("SELECT * FROM ord", "SELECT * FROM orders");
    completes("SELECT o.pr FROM orders o", "SELECT o.pr FROM orders o");
    completes("DESCRIBE ord", "DESCRIBE orders");
    completes("CREATE TABLE t (a INT) WITH ('conn", "CREATE TABLE t (a INT) WITH ('connector' = '");
    completes(
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'scan.startup.m",
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'scan.startup.mode' = '",
    );
    completes(
        "CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'fields.a.kind' = 'seq",
        "CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'fields.a.kind' = 'sequence'",
    );
    completes("CREATE TABLE t (a INT) WITH ('connector' = 'kaf", "CREATE TABLE t (a INT) WITH ('connector' = 'kafka'");
    completes("SET 'pipeline.n", "SET 'pipeline.name' = '");
    completes("\\tim", "\\timing");
    shell.write("script.sql", "");
    completes("\\i scr", "\\i script.sql");
}

/// What Tab makes of a line, and nothing behind it.
fn completes(shell: &Terminal, typed: &str, expected: &str) {
    shell.clears();
    shell.type_in(typed);
    shell.sees(typed);
    shell.press("Tab");
    shell.waits(&format!("'{expected}'"), |screen| screen.ends_with(&format!("eddyline> {expected}")));
    shell.press("C-c");
    shell.prompts();
}

#[test]
fn tab_completes_functions_in_the_case_that_is_typed() {
    let shell = Terminal::shell();
    completes(&shell, "SELECT CHAR_L", "SELECT CHAR_LENGTH(");
    completes(&shell, "SELECT char_l", "SELECT char_length(");
    completes(&shell, "SELECT Char_l", "SELECT char_length(");
}

#[test]
fn tab_completes_the_statements_of_tables_and_views() {
    let shell = Terminal::shell();
    shell.does("CREATE TABLE prices (product STRING, amount DOUBLE, PRIMARY KEY (product) NOT ENFORCED);");
    shell.does("CREATE MATERIALIZED VIEW dearest AS SELECT MAX(amount) AS amount FROM prices;");
    for (typed, expected) in [
        ("SUB", "SUBSCRIBE TO"),
        ("flu", "flush"),
        ("UPD", "UPDATE"),
        ("DEL", "DELETE FROM"),
        ("TRU", "TRUNCATE TABLE"),
        ("UPDATE pri", "UPDATE prices"),
        ("UPDATE prices SET am", "UPDATE prices SET amount"),
        ("UPDATE prices SET amount = 1 WHERE prod", "UPDATE prices SET amount = 1 WHERE product"),
        ("DELETE FROM prices WHERE prod", "DELETE FROM prices WHERE product"),
        ("SUBSCRIBE TO dea", "SUBSCRIBE TO dearest"),
        ("SUBSCRIBE TO pric", "SUBSCRIBE TO prices"),
    ] {
        completes(&shell, typed, expected);
    }
}

#[test]
fn tab_completes_jobs_behind_stop_job() {
    let shell = Terminal::shell();
    shell.does(super::TICKS);
    shell.does("CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');");
    shell.does("SET 'pipeline.name' = 'counting';");
    shell.does("INSERT INTO sink SELECT k FROM ticks;");
    completes(&shell, "STOP JOB 'cou", "STOP JOB 'counting'");
    completes(&shell, "STOP JOB '", "STOP JOB 'counting'");
}

#[test]
fn tab_shows_what_there_is_to_choose_from() {
    let shell = Terminal::shell();
    shell.does("CREATE TABLE orders (order_id INT, price DECIMAL(10, 2)) WITH ('connector' = 'datagen');");
    shell.type_in("SELECT orders. FROM orders");
    for _ in 0.." FROM orders".len() {
        shell.press("Left");
    }
    shell.press("Tab");
    shell.waits("both columns", |screen| {
        screen.contains("order_id") && screen.lines().any(|l| l.contains("order_id  price"))
    });
}

#[test]
fn keywords_have_colours_unless_they_are_not_wanted() {
    let shell = Terminal::shell();
    shell.type_in("SELECT 'x'");
    shell.sees("SELECT 'x'");
    assert!(shell.coloured_screen().contains("\x1b[1m\x1b[34mSELECT"), "{:?}", shell.coloured_screen());
    let plain = Terminal::new();
    plain.run_with("NO_COLOR=1", &[]);
    plain.prompts();
    plain.type_in("SELECT 'x'");
    plain.sees("SELECT 'x'");
    assert!(!plain.coloured_screen().contains('\x1b'), "{:?}", plain.coloured_screen());
}

#[test]
fn an_error_points_at_its_place_and_the_shell_goes_on() {
    let shell = Terminal::shell();
    shell.enter("SELECT nme FROM (VALUES (1)) AS t (name);");
    shell.sees("LINE 1: SELECT nme FROM (VALUES (1)) AS t (name);\n               ^\nHINT: did you mean 'name'?");
    shell.enter("SELECT name FROM (VALUES (1)) AS t (name);");
    shell.sees("1 row in set");
}

#[test]
fn history_comes_back_by_arrow_and_search_and_in_the_next_session() {
    let shell = Terminal::shell();
    shell.does("SELECT 'first';");
    shell.enter("SELECT 'second',");
    shell.does_rest("2;");
    shell.does("SET 'eddyline.checkpointing.mysql.password' = 'sesame';");
    shell.clears();
    // From the last line of a statement to its first, and from there to the statement before.
    for _ in 0..3 {
        shell.press("Up");
    }
    shell.sees("eddyline> SELECT 'first';");
    shell.press("C-c");
    shell.prompts();
    shell.enter("\\q");
    shell.sees("ended with 0");
    shell.run(&[]);
    shell.prompts();
    shell.press("Up");
    shell.sees("eddyline> SELECT 'second',\n2;");
    shell.press("C-c");
    shell.clears();
    shell.press("C-r");
    shell.type_in("fir");
    shell.sees("SELECT 'first';");
    let history = std::fs::read_to_string(shell.folder().join(".eddyline_history")).expect("a history");
    assert!(history.contains("first") && !history.contains("sesame"), "{history}");
}

#[test]
fn words_of_flinks_client_and_commands_of_psql_work() {
    let shell = Terminal::shell();
    shell
        .does("CREATE TABLE orders (id INT, total AS id + 1) WITH ('connector' = 'datagen', 'rows-per-second' = '7');");
    shell.does("CREATE VIEW big AS SELECT id FROM orders WHERE id > 10;");
    shell.does("\\d");
    shell.sees("|    big |  view |");
    shell.sees("| orders | table |");
    shell.clears();
    shell.does("\\dt");
    shell.sees("|     orders |");
    shell.sees("1 row in set");
    shell.clears();
    shell.does("\\dv b*");
    shell.sees("|       big |");
    shell.clears();
    shell.does("\\d orders");
    shell.sees("AS id + 1");
    shell.sees("'rows-per-second' = '7'");
    shell.clears();
    shell.does("\\l");
    shell.sees("default_catalog");
    shell.does("\\dn");
    shell.sees("default_database");
    shell.does("CREATE MATERIALIZED VIEW total AS SELECT COUNT(*) AS n FROM orders;");
    shell.clears();
    shell.does("\\dm");
    shell.sees("|                  total |\n+------------------------+\n1 row in set");
    shell.clears();
    shell.does("\\dm nothing*");
    shell.sees("Empty set");
    shell.clears();
    shell.does("\\df char_l*");
    shell.sees("|   char_length |\n+---------------+\n1 row in set");
    shell.clears();
    shell.does("\\pager off");
    shell.does("\\dj");
    shell.sees("job id");
    shell.sees("RUNNING");
    shell.enter("HELP");
    shell.sees("q ends a live view");
    shell.enter("CLEAR;");
    shell.waits("an empty screen", |screen| screen == "eddyline>");
    shell.does("\\nonsense");
    shell.sees("ERROR: there is no command \\nonsense\nHINT: \\? lists the commands");
    shell.enter("EXIT;");
    shell.sees("ended with 0");
}
