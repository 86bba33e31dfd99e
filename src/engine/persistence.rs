//! Lifetime of an object.

/// Lifetime of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persistence {
    /// The object exists on the prompted frame only.
    Once,
    /// Every further frame is decoded with the same prompts.
    #[default]
    Hold,
    /// The object is followed: by memory, or by its mask on the frame before.
    Track,
}

impl std::fmt::Display for Persistence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Persistence::Once => "once",
            Persistence::Hold => "hold",
            Persistence::Track => "track",
        })
    }
}

impl std::str::FromStr for Persistence {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "once" => Ok(Persistence::Once),
            "hold" => Ok(Persistence::Hold),
            "track" => Ok(Persistence::Track),
            other => Err(format!("'{other}' is none of once, hold, track")),
        }
    }
}
