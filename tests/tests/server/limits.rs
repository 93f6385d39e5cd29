//! Limits of a connection, as docs/server.md names them: what is too much is refused, and the connection lives on.

use eddyline_tests::server::Server;

/// Everything with psycopg; `refused` wants SQLSTATE 54000 of what goes beyond a limit.
const COMMON: &str = "
import os, signal, socket, struct, psycopg
signal.alarm(100)
connection = psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
def refused(act, said):
    try:
        act()
        assert False, said
    except psycopg.errors.ProgramLimitExceeded as error:
        assert said in str(error), error
    assert connection.execute('SELECT 1').fetchone() == (1,)
";

#[track_caller]
fn done(script: &str) {
    assert_eq!(Server::start().python(&format!("{COMMON}{script}\nprint('done')")), "done");
}

#[test]
fn a_connection_has_a_thousand_prepared_statements() {
    done(
        "
def prepare(name):
    result = connection.pgconn.prepare(name.encode(), b'SELECT 1')
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)
for number in range(1000):
    prepare(f's{number}')
refused(lambda: prepare('another'), 'at most 1000 prepared statements')
connection.execute('DEALLOCATE s7')
prepare('another')
connection.execute('DEALLOCATE ALL')
prepare('s7')",
    );
}

/// A client of bare messages: what `ask` gives are the kinds of the answers and the text of an error.
const BARE: &str = r"
bare = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])))
stream = bare.makefile('rwb')
def message(kind, body):
    return kind + struct.pack('!i', len(body) + 4) + body
def ask(messages, end=message(b'S', b'')):
    stream.write(messages + end)
    stream.flush()
    kinds, error = b'', b''
    while not kinds.endswith(b'Z'):
        kind, length = struct.unpack('!ci', stream.read(5))
        body = stream.read(length - 4)
        kinds += kind
        error += body if kind == b'E' else b''
    return kinds, error
startup = struct.pack('!i', 196608) + b'user\0ada\0\0'
ask(struct.pack('!i', len(startup) + 4) + startup, b'')
def parse(name, sql):
    return message(b'P', name + b'\0' + sql + b'\0\0\0')
def bind(portal):
    return message(b'B', portal + b'\0q\0' + struct.pack('!hhh', 0, 0, 0))
def execute(portal, rows):
    return message(b'E', portal + b'\0' + struct.pack('!i', rows))
def close(portal):
    return message(b'C', b'P' + portal + b'\0')
";

#[test]
fn a_connection_has_a_thousand_portals() {
    let script = r"
begin = parse(b'', b'BEGIN') + message(b'B', b'\0\0\0\0\0\0\0\0') + execute(b'', 0)
kinds, error = ask(begin + parse(b'q', b'SELECT a FROM (VALUES (1), (2)) AS t (a)'))
assert kinds == b'12C1Z', (kinds, error)
# All of them have begun and none has ended.
for number in range(1, 1000):
    name = f'p{number}'.encode()
    kinds, error = ask(bind(name) + execute(name, 1))
    assert kinds == b'2DsZ', (number, kinds, error)
kinds, error = ask(bind(b'last') + close(b'last') + bind(b'last') + bind(b'another'))
assert kinds == b'232EZ' and b'C54000' in error and b'at most 1000 portals' in error, (kinds, error)
ask(message(b'Q', b'ROLLBACK\0'), b'')
kinds, error = ask(bind(b'') + execute(b'', 0))
assert kinds.endswith(b'2DDCZ'), (kinds, error)";
    done(&format!("{BARE}{script}"));
}

#[test]
fn a_connection_has_a_hundred_cursors() {
    done(
        "
declare = 'DECLARE {} CURSOR WITH HOLD FOR SELECT a FROM (VALUES (1), (2)) AS t (a)'.format
for number in range(100):
    connection.execute(declare(f'c{number}'))
refused(lambda: connection.execute(declare('another')), 'at most 100 cursors')
same = connection.execute('FETCH ALL FROM c99').fetchall()
assert same == [(1,), (2,)], same
connection.execute('CLOSE c7')
connection.execute(declare('another'))
connection.execute('CLOSE ALL')
connection.execute(declare('c7'))",
    );
}

#[test]
fn a_result_that_changes_has_a_million_rows_and_an_answer_of_the_catalog_64_mebibytes() {
    done(
        "
def count(rows):
    connection.execute('DROP TEMPORARY TABLE IF EXISTS seq')
    connection.execute(f\"\"\"CREATE TEMPORARY TABLE seq (n BIGINT) WITH ('connector' = 'datagen',
      'number-of-rows' = '{rows}', 'rows-per-second' = '10000000', 'fields.n.kind' = 'sequence',
      'fields.n.start' = '1', 'fields.n.end' = '{rows}')\"\"\")
    cursor = connection.execute('SELECT n, COUNT(*) FROM seq GROUP BY n')
    return cursor.rowcount
assert count(1_000_000) == 1_000_000
refused(lambda: count(1_000_001), 'more than 1000000 rows')
refused(lambda: connection.execute('SELECT a.*, b.*, c.* FROM pg_catalog.pg_type a, pg_catalog.pg_type b, pg_catalog.pg_type c'),
        'the answer is too large')",
    );
}

/// A message of the largest size is taken, a larger one ends the connection and no other.
#[test]
fn a_message_has_the_size_that_was_given() {
    let server = Server::start_with(&["--max-message-size", "1000000"]);
    let script = "
text = 'x' * 900_000
assert connection.execute('SELECT CHAR_LENGTH(%s)', [text]).fetchone() == (900_000,)
other = psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
for parameter in ('x' * 1_100_000, 'x'):
    try:
        other.execute('SELECT CHAR_LENGTH(%s)', [parameter])
        assert False
    except psycopg.OperationalError:
        pass
assert connection.execute('SELECT 1').fetchone() == (1,)
print('done')";
    assert_eq!(server.python(&format!("{COMMON}{script}")), "done");
}
