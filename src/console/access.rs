//! Who may use the console: tokens and cookies, and the headers `Host` and `Origin` of a request.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::settings::{Settings, authority_of};

/// Rights of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sees and prompts.
    Operator,
    /// Sees only.
    Spectator,
}

/// Decides on requests.
#[derive(Debug)]
pub struct Access {
    operator: Option<Secret>,
    spectator: Option<Secret>,
    /// Authorities of the allowed origins.
    origins: Vec<String>,
    /// Name of the cookie. Browsers do not distinguish the cookies of two ports of a host, so that the name has the port.
    cookie_name: String,
    is_secure: bool,
}

/// A token, as digests.
#[derive(Debug)]
struct Secret {
    /// Digest of the token.
    token: [u8; 32],
    /// Value of the cookie: it proves that the browser had the token, and does not contain the token.
    cookie: String,
    /// Digest of the value.
    cookie_digest: [u8; 32],
}

impl Secret {
    fn new(token: &str) -> Option<Self> {
        if token.is_empty() {
            return None;
        }
        let cookie: String =
            digest(&format!("promptseg console cookie {token}")).iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Secret { token: digest(token), cookie_digest: digest(&cookie), cookie })
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Access {
    pub fn new(settings: &Settings, port: u16) -> Self {
        Access {
            operator: Secret::new(&settings.token),
            spectator: Secret::new(&settings.spectator_token),
            origins: settings.origins.iter().filter_map(|origin| authority_of(origin)).collect(),
            cookie_name: format!("promptseg_console_{port}"),
            is_secure: settings.tls.is_some(),
        }
    }

    /// Returns the role of a token, and the cookie that replaces it.
    pub fn log_in(&self, token: &str) -> Option<(Role, String)> {
        let (role, secret) = self.find(&digest(token), |secret| &secret.token)?;
        let secure = if self.is_secure { "; Secure" } else { "" };
        // Without a path the browser takes the folder of the page, which a reverse proxy may have moved. `Lax`, because a
        // link in a message may lead to the page; cross-site WebSockets get no cookie all the same.
        let cookie = format!("{}={}; HttpOnly; SameSite=Lax; Max-Age=2592000{secure}", self.cookie_name, secret.cookie);
        Some((role, cookie))
    }

    /// Returns the role of a request by its cookie. Without a token everybody is an operator.
    pub fn role(&self, headers: &HeaderMap) -> Option<Role> {
        if self.operator.is_none() {
            return Some(Role::Operator);
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let values = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let of_console = values.filter(|(name, _)| *name == self.cookie_name).map(|(_, value)| digest(value));
        of_console.into_iter().find_map(|value| self.find(&value, |secret| &secret.cookie_digest)).map(|(role, _)| role)
    }

    /// Finds the secret of a digest. Digests of equal length are compared in constant time.
    fn find(&self, wanted: &[u8; 32], field: fn(&Secret) -> &[u8; 32]) -> Option<(Role, &Secret)> {
        let secrets = [(Role::Operator, &self.operator), (Role::Spectator, &self.spectator)];
        let mut found = None;
        for (role, secret) in secrets {
            if let Some(secret) = secret
                && bool::from(field(secret).ct_eq(wanted))
            {
                found = Some((role, secret));
            }
        }
        found
    }

    /// Checks the headers `Host` and `Origin` of a request.
    ///
    /// # Errors
    /// Another web page sent the request, or a name that another page controls led to this machine. The text says which
    /// setting allows it.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let host = text(header::HOST).to_ascii_lowercase();
        let host = host.strip_suffix(":80").or(host.strip_suffix(":443")).unwrap_or(&host);
        // A page on another site can let its own name resolve to this machine (DNS rebinding). Its cookies do not have
        // the token, so that the name matters only without a token.
        if self.operator.is_none() && !is_loopback_name(host) && !self.origins.iter().any(|o| o == host) {
            return Err(format!(
                "the console has no token and was called '{host}': call it localhost, set console.token, or add the \
                 origin of the page to console.origins"
            ));
        }
        // Programs other than browsers send no origin.
        if !headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = text(header::ORIGIN);
        match authority_of(origin) {
            Some(authority) if authority == host || self.origins.contains(&authority) => Ok(()),
            _ => Err(format!("the page '{origin}' may not use the console at '{host}': add it to console.origins")),
        }
    }
}

/// Returns whether a host, with or without a port, is this machine's loopback interface.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "operator-0123456789";
    const SPECTATOR: &str = "spectator-0123456789";

    fn access(token: &str, spectator: &str, origins: &[&str]) -> Access {
        let settings = Settings {
            token: token.into(),
            spectator_token: spectator.into(),
            origins: origins.iter().map(|&o| o.to_owned()).collect(),
            ..Settings::default()
        };
        Access::new(&settings, 8060)
    }

    fn headers(list: &[(header::HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_becomes_a_cookie_that_does_not_contain_it() {
        let access = access(TOKEN, SPECTATOR, &[]);
        for (token, role) in [(TOKEN, Role::Operator), (SPECTATOR, Role::Spectator)] {
            let (found, cookie) = access.log_in(token).unwrap();
            assert_eq!(found, role);
            assert!(!cookie.contains(token) && cookie.contains("HttpOnly"), "{cookie}");
            let (value, _) = cookie.split_once(';').unwrap();
            let several = format!("theme=dark; {value}; other=1");
            assert_eq!(access.role(&headers(&[(header::COOKIE, &several)])), Some(role));
        }
        for wrong in ["", "x", &TOKEN[1..], "operator-0123456788"] {
            assert!(access.log_in(wrong).is_none(), "{wrong}");
            let cookie = format!("promptseg_console_8060={wrong}");
            assert_eq!(access.role(&headers(&[(header::COOKIE, &cookie)])), None);
        }
        // The token itself is no cookie.
        let cookie = format!("promptseg_console_8060={TOKEN}");
        assert_eq!(access.role(&headers(&[(header::COOKIE, &cookie)])), None);
        assert_eq!(access.role(&HeaderMap::new()), None);
    }

    #[test]
    fn without_a_token_everybody_on_this_machine_is_an_operator() {
        let access = access("", "", &["https://robot.example"]);
        assert_eq!(access.role(&HeaderMap::new()), Some(Role::Operator));
        for host in ["localhost:8060", "127.0.0.1:8060", "[::1]:8060", "[::1]", "localhost", "robot.example"] {
            assert_eq!(access.check_origin(&headers(&[(header::HOST, host)])), Ok(()), "{host}");
        }
        for host in ["evil.example:8060", "127.0.0.1.evil.example", "", "localhost.evil.example", "10.0.0.7:8060"] {
            assert!(access.check_origin(&headers(&[(header::HOST, host)])).is_err(), "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let access = access(TOKEN, "", &["https://robot.example", "http://10.0.0.7:8080"]);
        let check = |host, origin| access.check_origin(&headers(&[(header::HOST, host), (header::ORIGIN, origin)]));
        for (host, origin) in [
            ("robot:8060", "http://robot:8060"),
            ("robot", "http://robot:80"),
            ("robot:443", "https://robot"),
            ("127.0.0.1:8060", "https://robot.example"),
            ("127.0.0.1:8060", "http://10.0.0.7:8080"),
        ] {
            assert_eq!(check(host, origin), Ok(()), "{host} {origin}");
        }
        for (host, origin) in [
            ("robot:8060", "http://evil.example"),
            ("robot:8060", "http://robot:8061"),
            ("robot:8060", "null"),
            ("robot:8060", "http://10.0.0.7"),
        ] {
            assert!(check(host, origin).unwrap_err().contains(origin), "{host} {origin}");
        }
        assert_eq!(access.check_origin(&headers(&[(header::HOST, "robot:8060")])), Ok(()), "no browser");
    }
}
