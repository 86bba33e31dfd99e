//! Settings of the console.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// Least length of a token, in characters.
pub const MIN_TOKEN: usize = 16;

/// Settings of the console. They do not change while it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub address: SocketAddr,
    /// Secret of operators; empty: everybody who reaches the address is an operator.
    pub token: String,
    /// Secret of spectators, who cannot prompt; empty: there are none.
    pub spectator_token: String,
    /// `None`: HTTP without TLS.
    pub tls: Option<TlsFiles>,
    /// Origins of other pages that may connect and embed the page, such as `https://robot.example`.
    pub origins: Vec<String>,
    /// Age from which a picture is stale, so that prompts on it are refused. `None`: pictures never become stale.
    pub stale_after: Option<Duration>,
    /// Most browsers at a time.
    pub max_clients: usize,
    /// JPEG quality of the pictures, 1 to 100.
    pub quality: u8,
}

/// Files of a certificate, in PEM format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the server, and the certificates that signed it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            address: SocketAddr::from(([127, 0, 0, 1], 8060)),
            token: String::new(),
            spectator_token: String::new(),
            tls: None,
            origins: Vec::new(),
            stale_after: Some(Duration::from_secs(2)),
            max_clients: 16,
            quality: 80,
        }
    }
}

/// Reason why the console does not start.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error(
        "console.address {0} is reached from other machines, and console.token is empty: set a token of at least \
         {MIN_TOKEN} characters, console.token_file, or an address of the loopback interface"
    )]
    NoToken(SocketAddr),
    #[error("console.spectator_token is set, and console.token is empty: everybody would be an operator; set both")]
    NoOperator,
    #[error("{parameter} has {length} characters, expected at least {MIN_TOKEN}")]
    ShortToken { parameter: &'static str, length: usize },
    #[error("{parameter} has the character '{found}', expected letters, digits and -._~ only")]
    TokenCharacter { parameter: &'static str, found: char },
    #[error("console.token and console.spectator_token are equal: a spectator would be an operator")]
    EqualTokens,
    #[error("console.origins has '{0}', expected an origin such as https://robot.example or http://10.0.0.7:8080")]
    Origin(String),
    #[error("{path}: {reason}")]
    Tls { path: PathBuf, reason: String },
    #[error("console.token_file {path}: {reason}")]
    TokenFile { path: PathBuf, reason: String },
    #[error("console.address {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
}

impl Settings {
    /// Checks that the settings belong together.
    ///
    /// # Errors
    /// The first setting that is wrong, with what was expected.
    pub fn check(&self) -> Result<(), SettingsError> {
        check_token("console.token", &self.token)?;
        check_token("console.spectator_token", &self.spectator_token)?;
        if self.token.is_empty() && !self.address.ip().is_loopback() {
            return Err(SettingsError::NoToken(self.address));
        }
        if self.token.is_empty() && !self.spectator_token.is_empty() {
            return Err(SettingsError::NoOperator);
        }
        if !self.token.is_empty() && self.token == self.spectator_token {
            return Err(SettingsError::EqualTokens);
        }
        match self.origins.iter().find(|origin| authority_of(origin).is_none()) {
            Some(origin) => Err(SettingsError::Origin(origin.clone())),
            None => Ok(()),
        }
    }
}

/// The tokens of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub operator: String,
    /// Empty without a second line.
    pub spectator: String,
}

/// Reads a file with the token of operators in the first line and, optionally, that of spectators in the second.
///
/// # Errors
/// The file cannot be read, or has no line or more than two.
pub fn read_tokens(path: &Path) -> Result<Tokens, SettingsError> {
    let wrong = |reason: String| SettingsError::TokenFile { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [operator] => Ok(Tokens { operator: operator.to_owned(), spectator: String::new() }),
        [operator, spectator] => Ok(Tokens { operator: operator.to_owned(), spectator: spectator.to_owned() }),
        _ => Err(wrong(format!(
            "{} lines, expected the token of operators and, optionally, a second line with the token of spectators",
            lines.len()
        ))),
    }
}

/// Checks the characters of a token, which is part of an address and of a cookie.
fn check_token(parameter: &'static str, token: &str) -> Result<(), SettingsError> {
    let is_unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if let Some(found) = token.chars().find(|c| !is_unreserved(*c)) {
        return Err(SettingsError::TokenCharacter { parameter, found });
    }
    match token.len() {
        1..MIN_TOKEN => Err(SettingsError::ShortToken { parameter, length: token.len() }),
        _ => Ok(()),
    }
}

/// Returns host and port of an origin, such as `robot.example` or `10.0.0.7:8080`, in lower case and without a default port.
pub(super) fn authority_of(origin: &str) -> Option<String> {
    let origin = origin.to_ascii_lowercase();
    let (authority, default) = match origin.split_once("://")? {
        ("http", authority) => (authority, ":80"),
        ("https", authority) => (authority, ":443"),
        _ => return None,
    };
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    (!authority.is_empty() && authority.chars().all(is_valid))
        .then(|| authority.strip_suffix(default).unwrap_or(authority).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str, token: &str, spectator_token: &str) -> Settings {
        let address = address.parse().unwrap();
        Settings { address, token: token.into(), spectator_token: spectator_token.into(), ..Settings::default() }
    }

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn the_console_starts_off_loopback_only_with_a_token() {
        for address in ["127.0.0.1:8060", "[::1]:8060", "127.3.2.1:0"] {
            assert!(settings(address, "", "").check().is_ok(), "{address}");
        }
        for address in ["0.0.0.0:8060", "[::]:8060", "192.168.1.2:8060"] {
            let error = settings(address, "", "").check().unwrap_err().to_string();
            assert!(error.contains(address) && error.contains("console.token is empty"), "{error}");
            assert!(settings(address, TOKEN, "").check().is_ok(), "{address}");
        }
    }

    #[test]
    fn wrong_tokens_are_named() {
        for (token, spectator, reason) in [
            ("short", "", "console.token has 5 characters, expected at least 16"),
            ("0123456789 bcdef", "", "console.token has the character ' '"),
            (TOKEN, "0123456789/bcdef", "console.spectator_token has the character '/'"),
            (TOKEN, TOKEN, "are equal"),
            ("", TOKEN, "everybody would be an operator"),
        ] {
            let error = settings("127.0.0.1:0", token, spectator).check().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn tokens_are_the_lines_of_a_file() {
        let path = std::env::temp_dir().join(format!("promptseg-tokens-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_tokens(&path).map(|tokens| (tokens.operator, tokens.spectator)).map_err(|e| e.to_string())
        };
        assert_eq!(read("abc\n"), Ok(("abc".into(), String::new())));
        assert_eq!(read("abc \r\n\n def"), Ok(("abc".into(), "def".into())));
        for (text, count) in [("", "0 lines"), ("a\nb\nc\n", "3 lines")] {
            assert!(read(text).unwrap_err().contains(count));
        }
        std::fs::remove_file(&path).unwrap();
        let missing = read_tokens(&path).unwrap_err().to_string();
        assert!(missing.contains("console.token_file") && missing.contains("No such file"), "{missing}");
    }

    #[test]
    fn origins_have_a_scheme_and_no_path() {
        assert_eq!(authority_of("https://Robot.example:443").as_deref(), Some("robot.example"));
        assert_eq!(authority_of("http://10.0.0.7:8080").as_deref(), Some("10.0.0.7:8080"));
        assert_eq!(authority_of("http://[::1]:80").as_deref(), Some("[::1]"));
        for wrong in ["robot.example", "ftp://robot", "http://", "http://robot/path", "null", "*", "http://a b"] {
            assert_eq!(authority_of(wrong), None, "{wrong}");
            let settings = Settings { origins: vec![wrong.into()], ..Settings::default() };
            assert!(settings.check().unwrap_err().to_string().contains(&format!("'{wrong}'")));
        }
    }
}
