//! Who may: an API key for the operator, signed room tokens (RFC 7519, HS256) for everybody else.
//!
//! Without a key, joining is open, whoever opens a room becomes its host, and administrating verbs
//! answer loopback only. With one, joining
//! wants a token for that room (or the key), and administrating verbs want the key or a host's.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::id::RoomName;

/// Longest life of a room token.
pub const TOKEN_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a token allows; each allows what the ones before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watch.
    Viewer,
    /// Take part.
    Member,
    /// Administrate the room.
    Host,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    room: RoomName,
    role: Role,
    exp: u64,
}

/// Judges keys and tokens.
pub struct Authority {
    key: Option<String>,
    /// Signs the tokens of those who open a room where there is no key.
    secret: Vec<u8>,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Neither key nor token.
    #[error("a room token or the API key is needed")]
    Missing,
    /// Not signed by us, garbled, or expired.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// For another room.
    #[error("the token is for another room")]
    OtherRoom,
    /// For less than was asked.
    #[error("the token does not allow this")]
    TooWeak,
    /// No key is set and the request is not from this machine.
    #[error("without an API key this answers requests from this machine only")]
    NotLocal,
    /// Tokens cannot be made without a key.
    #[error("tokens need an API key to be set")]
    NoKey,
}

impl Authority {
    /// With or without an API key; `secret` is the server's own.
    pub fn new(key: Option<String>, secret: Vec<u8>) -> Self {
        Self { key, secret }
    }

    /// Whether the operator decides who may enter and who is host.
    pub fn keyed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a token makes its bearer a host of `room`.
    pub fn hosts(&self, room: &RoomName, token: Option<&str>) -> bool {
        let key = self.signing_key();
        let has = |token: &str| {
            let operator = self.key.as_ref().is_some_and(|key| same(key, token));
            operator || Self::proves(key, room, Role::Host, token).is_ok()
        };
        token.is_some_and(has)
    }

    /// A token for whoever opens `room`, where everybody may.
    pub fn host_token(&self, room: &RoomName) -> Result<String, Denied> {
        match self.key {
            Some(_) => Err(Denied::Missing),
            None => self.signed(room, Role::Host, TOKEN_MAX_AGE),
        }
    }

    /// Whether somebody may enter `room` in `role`.
    pub fn join(&self, room: &RoomName, role: Role, token: Option<&str>) -> Result<(), Denied> {
        match &self.key {
            None => Ok(()),
            Some(key) => Self::holds(key, room, role, token),
        }
    }

    /// Whether somebody at `from` may administrate `room`.
    pub fn administrate(
        &self,
        room: &RoomName,
        from: IpAddr,
        bearer: Option<&str>,
    ) -> Result<(), Denied> {
        match &self.key {
            None if from.to_canonical().is_loopback() => Ok(()),
            None => Err(Denied::NotLocal),
            Some(key) => Self::holds(key, room, Role::Host, bearer),
        }
    }

    /// Whether somebody is the operator: has the API key itself.
    pub fn operates(&self, bearer: Option<&str>) -> Result<(), Denied> {
        let key = self.key.as_ref().ok_or(Denied::NoKey)?;
        let bearer = bearer.ok_or(Denied::Missing)?;
        match same(key, bearer) {
            true => Ok(()),
            false => Err(Denied::Invalid("it is not the API key".into())),
        }
    }

    /// Signs a token.
    pub fn sign(&self, room: &RoomName, role: Role, age: Duration) -> Result<String, Denied> {
        self.key.as_ref().ok_or(Denied::NoKey)?;
        self.signed(room, role, age)
    }

    fn signing_key(&self) -> &[u8] {
        self.key.as_ref().map_or(&self.secret, |key| key.as_bytes())
    }

    fn signed(&self, room: &RoomName, role: Role, age: Duration) -> Result<String, Denied> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let claims = Claims {
            room: room.clone(),
            role,
            exp: (now + age.min(TOKEN_MAX_AGE)).as_secs(),
        };
        let secret = EncodingKey::from_secret(self.signing_key());
        encode(&Header::new(Algorithm::HS256), &claims, &secret)
            .map_err(|error| Denied::Invalid(error.to_string()))
    }

    fn holds(key: &str, room: &RoomName, role: Role, bearer: Option<&str>) -> Result<(), Denied> {
        let bearer = bearer.ok_or(Denied::Missing)?;
        if same(key, bearer) {
            return Ok(());
        }
        Self::proves(key.as_bytes(), room, role, bearer)
    }

    /// Whether a token was signed with `key` for that much in `room`.
    fn proves(key: &[u8], room: &RoomName, role: Role, token: &str) -> Result<(), Denied> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 5;
        let secret = DecodingKey::from_secret(key);
        let claims = decode::<Claims>(token, &secret, &validation)
            .map_err(|error| Denied::Invalid(error.to_string()))?
            .claims;
        if claims.room != *room {
            return Err(Denied::OtherRoom);
        }
        if claims.role < role {
            return Err(Denied::TooWeak);
        }
        Ok(())
    }
}

/// Compares secrets without telling by its time where the first difference is.
pub fn same(a: &str, b: &str) -> bool {
    let differ = |d: u8, (a, b): (u8, u8)| d | (a ^ b);
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    fn keyed(key: &str) -> Authority {
        Authority::new(Some(key.into()), b"a secret".to_vec())
    }

    #[test]
    fn who_opens_a_room_is_its_host_and_no_others() {
        let open = Authority::new(None, b"a secret".to_vec());
        let token = open.host_token(&room("a")).unwrap();
        assert!(open.hosts(&room("a"), Some(&token)));
        assert!(!open.hosts(&room("b"), Some(&token)));
        assert!(!open.hosts(&room("a"), None));
        let restarted = Authority::new(None, b"a secret".to_vec());
        assert!(restarted.hosts(&room("a"), Some(&token)));
        let elsewhere = Authority::new(None, b"another".to_vec());
        assert!(!elsewhere.hosts(&room("a"), Some(&token)));
        let keyed = keyed("0123456789abcdef");
        assert_eq!(keyed.host_token(&room("a")), Err(Denied::Missing));
        assert!(!keyed.hosts(&room("a"), Some(&token)));
        assert!(keyed.hosts(&room("a"), Some("0123456789abcdef")));
        let member = keyed.sign(&room("a"), Role::Member, Duration::from_secs(60));
        assert!(!keyed.hosts(&room("a"), Some(&member.unwrap())));
    }

    #[test]
    fn without_a_key_joining_is_open_and_administration_local() {
        let open = Authority::new(None, b"a secret".to_vec());
        assert_eq!(open.join(&room("a"), Role::Member, None), Ok(()));
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(open.administrate(&room("a"), here, None), Ok(()));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(open.administrate(&room("a"), mapped, None), Ok(()));
        let there = IpAddr::from([192, 0, 2, 1]);
        let denied = open.administrate(&room("a"), there, None);
        assert_eq!(denied, Err(Denied::NotLocal));
    }

    #[test]
    fn with_a_key_tokens_are_for_one_room_one_role_and_a_while() {
        let keyed = keyed("0123456789abcdef");
        let hour = Duration::from_secs(3600);
        let token = keyed.sign(&room("a"), Role::Member, hour).unwrap();
        let join = |at: &str, role, token| keyed.join(&room(at), role, token);
        assert_eq!(join("a", Role::Member, Some(&token)), Ok(()));
        assert_eq!(join("a", Role::Viewer, Some(&token)), Ok(()));
        assert_eq!(join("a", Role::Host, Some(&token)), Err(Denied::TooWeak));
        assert_eq!(
            join("b", Role::Member, Some(&token)),
            Err(Denied::OtherRoom)
        );
        assert_eq!(join("a", Role::Member, None), Err(Denied::Missing));
        assert_eq!(join("a", Role::Host, Some("0123456789abcdef")), Ok(()));
        let other = self::keyed("another-key-altogether");
        let forged = other.sign(&room("a"), Role::Host, hour).unwrap();
        assert!(matches!(
            join("a", Role::Viewer, Some(&forged)),
            Err(Denied::Invalid(_))
        ));
        let unsigned =
            "eyJhbGciOiJub25lIn0.eyJyb29tIjoiYSIsInJvbGUiOiJob3N0IiwiZXhwIjo5OTk5OTk5OTk5fQ.";
        assert!(join("a", Role::Viewer, Some(unsigned)).is_err());
    }
}
