//! Real services for tests, each in a temporary folder of its own on free ports, gone when the test process is gone.
//!
//! `shared()` of a service starts it at the first call and hands the same one to every test of the process. A service
//! that is not installed is installed when the tests run as root on Debian or Ubuntu; otherwise the test fails with
//! the command that would install it. Nothing is skipped silently.

pub mod kafka;
pub mod mariadb;
pub mod process;
