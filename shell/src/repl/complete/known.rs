//! The names there are.

use std::cell::RefCell;
use std::collections::HashMap;

use eddyline_engine::connector::{OptionSpec, Registry};

use super::super::describe::{column, quoted};
use super::super::shell::SharedBackend;

/// What completion asks.
pub trait Known {
    /// Tables and views.
    fn tables(&self) -> Vec<String>;
    /// Columns of a table or view; none when it does not exist.
    fn columns(&self, table: &str) -> Vec<String>;
    /// Functions.
    fn functions(&self) -> Vec<String>;
    /// Names of jobs.
    fn job_names(&self) -> Vec<String>;
    /// Ids of jobs.
    fn job_ids(&self) -> Vec<String>;
    /// Connectors.
    fn connectors(&self) -> Vec<String>;
    /// Formats of messages.
    fn formats(&self) -> Vec<String> {
        eddyline_connectors::format::FORMATS.map(str::to_string).to_vec()
    }
    /// Options of a connector.
    fn options(&self, connector: &str) -> Vec<OptionSpec>;
    /// Settings of a session.
    fn settings(&self) -> Vec<OptionSpec>;
}

/// Names from a session, each asked for once between two statements, and from the declarations of this program.
pub struct BackendNames {
    backend: SharedBackend,
    registry: Registry,
    asked: RefCell<HashMap<String, Vec<String>>>,
}

impl BackendNames {
    /// Names of what `backend` knows.
    pub fn new(backend: SharedBackend) -> Self {
        BackendNames { backend, registry: eddyline_connectors::registry(), asked: RefCell::default() }
    }

    /// Forgets what was asked: a statement may have changed it.
    pub fn forget(&self) {
        self.asked.borrow_mut().clear();
    }

    fn ask(&self, sql: String) -> Vec<String> {
        if let Some(answer) = self.asked.borrow().get(&sql) {
            return answer.clone();
        }
        let answer = self.ask_column(&sql, 0);
        self.asked.borrow_mut().insert(sql, answer.clone());
        answer
    }

    fn ask_column(&self, sql: &str, index: usize) -> Vec<String> {
        // A statement that is running has the session; and what fails has no names.
        let Ok(mut backend) = self.backend.try_borrow_mut() else { return Vec::new() };
        column(backend.as_mut(), sql, index).unwrap_or_default()
    }
}

impl Known for BackendNames {
    fn tables(&self) -> Vec<String> {
        self.ask("SHOW TABLES".to_string())
    }

    fn columns(&self, table: &str) -> Vec<String> {
        // What is not a table need not be asked for.
        match self.tables().iter().any(|known| known == table) {
            true => self.ask(format!("DESCRIBE {}", quoted(table))),
            false => Vec::new(),
        }
    }

    fn functions(&self) -> Vec<String> {
        self.ask("SHOW FUNCTIONS".to_string())
    }

    // Jobs come and go between two statements, too.
    fn job_names(&self) -> Vec<String> {
        self.ask_column("SHOW JOBS", 1)
    }

    fn job_ids(&self) -> Vec<String> {
        self.ask_column("SHOW JOBS", 0)
    }

    fn connectors(&self) -> Vec<String> {
        self.registry.iter().map(|connector| connector.identifier().to_string()).collect()
    }

    fn options(&self, connector: &str) -> Vec<OptionSpec> {
        self.registry.get(connector).map(|connector| connector.options()).unwrap_or_default()
    }

    fn settings(&self) -> Vec<OptionSpec> {
        eddyline_sql::config::specs()
    }
}
