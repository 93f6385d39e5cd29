//! Who may log in: a file of users and their SCRAM-SHA-256 secrets.
//!
//! Each line is `name:password` or `name:SCRAM-SHA-256$4096:salt$stored-key:server-key`, the form that PostgreSQL and
//! PgBouncer keep. Passwords in the clear are turned into secrets when the file is read. Nobody but its owner may be able
//! to read the file.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, gen_salted_password};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

const SCHEME: &str = "SCRAM-SHA-256$";

/// The users of a server.
pub struct Users {
    secrets: HashMap<String, Secret>,
    /// Makes salts of users that do not exist, so that an answer does not tell who does.
    seed: [u8; 16],
}

#[derive(Clone)]
struct Secret {
    salt: Vec<u8>,
    iterations: usize,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Users {
    /// Reads the file of users.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let refuse = |what: String| Failure::Message(format!("ERROR: --user-file {}: {what}", path.display()));
        let mode = std::fs::metadata(path).map_err(|e| refuse(e.to_string()))?.mode();
        if mode & 0o077 != 0 {
            return Err(refuse(format!("others can read it (mode {:o})\nHINT: chmod 600", mode & 0o777)));
        }
        let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        let mut secrets = HashMap::new();
        for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let secret = line.split_once(':').filter(|(name, _)| !name.is_empty()).and_then(|(name, secret)| {
                let secret = if secret.starts_with(SCHEME) { parse(secret) } else { from_password(secret) };
                Some((name.to_string(), secret?))
            });
            // The line itself may hold a password and is not shown.
            let Some((name, secret)) = secret else {
                return Err(refuse(format!("line {number} is neither name:password nor name:{SCHEME}…")));
            };
            secrets.insert(name, secret);
        }
        if secrets.is_empty() {
            return Err(refuse("it names no user".to_string()));
        }
        Ok(Users { secrets, seed: *uuid::Uuid::new_v4().as_bytes() })
    }

    /// The secret of a user; for one who does not exist, a secret that no password fits.
    pub fn secret(&self, name: &str) -> ScramSecret {
        self.secrets.get(name).cloned().unwrap_or_else(|| self.mock(name)).verifier()
    }

    /// A secret that no password fits, and that looks like the user's own.
    pub fn no_secret(&self, name: &str) -> ScramSecret {
        let mock = self.mock(name);
        match self.secrets.get(name).cloned() {
            Some(secret) => Secret { stored_key: mock.stored_key, server_key: mock.server_key, ..secret }.verifier(),
            None => mock.verifier(),
        }
    }

    fn mock(&self, name: &str) -> Secret {
        let digest = |what: &str| {
            Sha256::new().chain_update(self.seed).chain_update(what).chain_update(name).finalize().to_vec()
        };
        let salt = digest("salt")[..16].to_vec();
        let (stored_key, server_key) = (digest("stored"), digest("server"));
        Secret { salt, iterations: SCRAM_ITERATIONS, stored_key, server_key }
    }
}

impl Secret {
    fn verifier(self) -> ScramSecret {
        let Secret { salt, iterations, stored_key, server_key } = self;
        ScramSecret::Verifier { salt, iterations, stored_key, server_key }
    }
}

fn from_password(password: &str) -> Option<Secret> {
    if password.is_empty() {
        return None;
    }
    let salt = uuid::Uuid::new_v4().as_bytes().to_vec();
    let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
    match ScramSecret::verifier_from_salted_password(salt, salted, SCRAM_ITERATIONS) {
        ScramSecret::Verifier { salt, iterations, stored_key, server_key } => {
            Some(Secret { salt, iterations, stored_key, server_key })
        }
        ScramSecret::SaltedPassword { .. } => None,
    }
}

/// `SCRAM-SHA-256$4096:salt$stored-key:server-key`.
fn parse(text: &str) -> Option<Secret> {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
    let (cost, keys) = text.strip_prefix(SCHEME)?.split_once('$')?;
    let (iterations, salt) = cost.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    Some(Secret {
        salt: decode(salt)?,
        iterations: iterations.parse().ok().filter(|n| *n >= SCRAM_ITERATIONS)?,
        stored_key: decode(stored_key).filter(|key| key.len() == 32)?,
        server_key: decode(server_key).filter(|key| key.len() == 32)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn users(text: &str, mode: u32) -> Result<Users, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        Users::read(file.path()).map_err(|failure| failure.text().to_string())
    }

    #[test]
    fn passwords_and_secrets_are_read_and_open_files_refused() {
        let secret = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let read = users(&format!("# people\nada:enchantress:of numbers\nbob:{secret}\n"), 0o600).unwrap();
        assert!(matches!(read.secret("bob"), ScramSecret::Verifier { iterations: 4096, .. }));
        assert!(users("ada:x", 0o640).err().unwrap().contains("chmod 600"));
        let error = users("ada:ok\nhunter2", 0o600).err().unwrap();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        assert!(users("", 0o600).err().unwrap().contains("no user"));
    }

    #[test]
    fn unknown_users_keep_their_salt() {
        let read = users("ada:x", 0o600).unwrap();
        let salt = |name: &str| match read.secret(name) {
            ScramSecret::Verifier { salt, .. } => salt,
            ScramSecret::SaltedPassword { .. } => Vec::new(),
        };
        assert_eq!((salt("eve"), salt("ada")), (salt("eve"), salt("ada")));
        assert_ne!(salt("eve"), salt("mallory"));
        let ScramSecret::Verifier { salt: same, stored_key, .. } = read.no_secret("ada") else { return };
        assert_eq!(same, salt("ada"));
        assert!(matches!(read.secret("ada"), ScramSecret::Verifier { stored_key: own, .. } if own != stored_key));
    }
}
