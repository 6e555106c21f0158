//! The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};

/// PostgreSQL's own default is 4096; what a hostile server could make us compute has an end.
const MAX_ITERATIONS: u32 = 100_000;

/// One log-in.
pub(super) struct Scram {
    password: String,
    /// `n=,r=...`: PostgreSQL takes the user from the beginning of the session.
    first_bare: String,
    nonce: String,
    /// What the server must answer with, once we have answered it.
    genuine: Option<Vec<u8>>,
}

impl Scram {
    pub(super) fn begin(password: &str) -> Result<Self, String> {
        let mut random = [0; 18];
        getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Self::with_nonce(password, &base64(&random), ""))
    }

    fn with_nonce(password: &str, nonce: &str, user: &str) -> Self {
        Self {
            password: password.to_owned(),
            first_bare: format!("n={user},r={nonce}"),
            nonce: nonce.to_owned(),
            genuine: None,
        }
    }

    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// The answer to the server's challenge.
    pub(super) fn answer(&mut self, challenge: &[u8]) -> Result<String, String> {
        let odd = || "its log-in (SCRAM) says something odd".to_owned();
        let challenge = std::str::from_utf8(challenge).map_err(|_| odd())?;
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).ok_or_else(odd);
        let nonce = part("r=")?;
        let salt = unbase64(part("s=")?).ok_or_else(odd)?;
        let iterations: u32 = part("i=")?.parse().map_err(|_| odd())?;
        let iterations = NonZeroU32::new(iterations).filter(|count| count.get() <= MAX_ITERATIONS);
        let iterations = iterations.ok_or_else(odd)?;
        if !nonce.starts_with(&self.nonce) || nonce == self.nonce {
            return Err(odd());
        }
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, self.password.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let without_proof = format!("c=biws,r={nonce}");
        let all = format!("{},{challenge},{without_proof}", self.first_bare);
        let signature = mac(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, signed)| key ^ signed).collect();
        let server_key = mac(&salted, b"Server Key");
        self.genuine = Some(mac(server_key.as_ref(), all.as_bytes()).as_ref().to_vec());
        Ok(format!("{without_proof},p={}", base64(&proof)))
    }

    /// Whether the server has shown that it knows the password too.
    pub(super) fn is_genuine(&self, proof: &[u8]) -> bool {
        let given = std::str::from_utf8(proof).ok().and_then(|text| text.strip_prefix("v="));
        given.and_then(unbase64).is_some_and(|given| self.genuine.as_ref() == Some(&given))
    }
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_of_the_standard_is_computed_as_printed_there() {
        // RFC 7677, section 3.
        let mut scram = Scram::with_nonce("pencil", "rOprNGfwEbeRWgbNEkqO", "user");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(
            scram.answer(challenge).expect("it is the standard's"),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(scram.is_genuine(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!scram.is_genuine(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_challenge_that_is_odd_is_refused() {
        for challenge in [
            "r=mine,s=W22Z,i=4096",
            "r=other,s=W22Z,i=4096",
            "r=mine+,s=!,i=4096",
            "r=mine+,s=W22Z,i=0",
            "r=mine+,s=W22Z,i=2000000000",
            "r=mine+,s=W22Z",
            "",
        ] {
            let answer = Scram::with_nonce("secret", "mine", "").answer(challenge.as_bytes());
            assert_eq!(answer, Err("its log-in (SCRAM) says something odd".to_owned()), "{challenge}");
        }
    }
}
