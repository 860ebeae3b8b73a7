//! Settings: the variables a function declares, read once, checked all together.

use std::collections::BTreeMap;

/// A variable of a function's environment.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub description: &'static str,
    /// The values it may have.
    pub kind: SettingKind,
}

/// The values a setting may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// Any text but none.
    Text,
    /// An `http` or `https` URL without a slash at the end.
    Url,
    /// Several URLs, separated by spaces.
    Urls,
    /// A whole number from 1 to 1 000 000.
    Count,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// The largest value of a [`SettingKind::Count`].
const COUNT_MAX: u32 = 1_000_000;

/// Which stage this is; part of every resource's name.
pub static STAGE: Setting = Setting {
    name: "ROLLCALL_STAGE",
    description: "The stage: dev, staging or prod.",
    kind: SettingKind::OneOf(&["dev", "staging", "prod"]),
};

/// How much more often than declared callers are admitted.
pub static RATE_LIMIT_FACTOR: Setting = Setting {
    name: "ROLLCALL_RATE_LIMIT_FACTOR",
    description: "By what the declared rate limits are multiplied: 1 wherever people are served, more for load tests on a local cloud.",
    kind: SettingKind::Count,
};

/// The values of the settings that a function declares.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Reads `declared` from `environment`, or says everything that is wrong with it.
    pub fn read(
        declared: &[&'static Setting],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<String>> {
        let mut values = BTreeMap::new();
        let mut faults = Vec::new();
        for setting in declared {
            match environment(setting.name) {
                None => faults.push(format!("{} is not set", setting.name)),
                Some(value) => match setting.kind.fault(&value) {
                    Some(fault) => faults.push(format!("{} {fault}", setting.name)),
                    None => {
                        values.insert(setting.name, value);
                    }
                },
            }
        }
        if faults.is_empty() { Ok(Self { values }) } else { Err(faults) }
    }

    /// The value of a declared setting; `None` for one that the function did not declare.
    pub fn get(&self, setting: &Setting) -> Option<&str> {
        self.values.get(setting.name).map(String::as_str)
    }
}

impl SettingKind {
    fn fault(self, value: &str) -> Option<String> {
        let is_url = |text: &str| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/'))
        };
        match self {
            Self::Text if value.is_empty() => Some("is empty".to_owned()),
            Self::Url if !is_url(value) => {
                Some("is not a URL without a slash at the end".to_owned())
            }
            Self::Urls if value.is_empty() || !value.split(' ').all(is_url) => {
                Some("is not a list of URLs separated by spaces".to_owned())
            }
            Self::OneOf(choices) if !choices.contains(&value) => {
                Some(format!("is not one of {}", choices.join(", ")))
            }
            Self::Count if !text_is_count(value) => {
                Some("is not a whole number from 1 to 1000000".to_owned())
            }
            Self::Text | Self::Url | Self::Urls | Self::Count | Self::OneOf(_) => None,
        }
    }
}

fn text_is_count(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|number| (1..=COUNT_MAX).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    static SITE: Setting = Setting { name: "SITE", description: "A site.", kind: SettingKind::Url };

    #[test]
    fn every_fault_is_reported_at_once() {
        let environment = |name: &str| (name == "SITE").then(|| "ftp://x".to_owned());
        let faults = Settings::read(&[&STAGE, &SITE], environment).unwrap_err();
        assert_eq!(
            faults,
            ["ROLLCALL_STAGE is not set", "SITE is not a URL without a slash at the end"]
        );
    }

    #[test]
    fn only_declared_settings_can_be_read() {
        let settings = Settings::read(&[&STAGE], |_| Some("dev".to_owned())).unwrap();
        assert_eq!(settings.get(&STAGE), Some("dev"));
        assert_eq!(settings.get(&SITE), None);
    }
}
