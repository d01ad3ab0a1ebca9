//! A host with a clock that tests move and a log that tests read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade_core::PluginName;
use stockade_core::Timestamp;
use stockade_plugins::{
    Clock, ComponentSource, FilterBatch, Grants, HostOptions, Limits, LogLevel, LogSink,
    PluginHost, PluginSpec, Pushed, Role,
};

#[derive(Debug, Default)]
pub(crate) struct FakeClock(Mutex<Duration>);

impl FakeClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for FakeClock {
    fn wall(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

#[derive(Debug, Default)]
pub(crate) struct FakeLog(Mutex<Vec<String>>);

impl FakeLog {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl LogSink for FakeLog {
    fn write(&self, plugin: &PluginName, level: LogLevel, message: &str) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{plugin} {level:?} {message}"));
    }
}

pub(crate) struct Fixture {
    pub(crate) host: PluginHost,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) log: Arc<FakeLog>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let (clock, log) = (Arc::<FakeClock>::default(), Arc::<FakeLog>::default());
        let options = HostOptions {
            clock: clock.clone(),
            log: log.clone(),
            ..HostOptions::default()
        };
        Self {
            host: PluginHost::new(options).unwrap(),
            clock,
            log,
        }
    }
}

/// A plugin called "x", without grants and settings and with little time.
pub(crate) fn spec(role: Role, component: Vec<u8>) -> PluginSpec {
    let mut limits = Limits::of(role);
    limits.call.cpu = Duration::from_millis(40);
    limits.configure.cpu = Duration::from_millis(100);
    PluginSpec {
        name: PluginName::try_new("x").unwrap(),
        component: ComponentSource::Bytes(component),
        grants: Grants::default(),
        limits,
        settings: Vec::new(),
    }
}

pub(crate) fn batch<'a>(lines: impl IntoIterator<Item = &'a str>) -> FilterBatch {
    let mut batch = FilterBatch::new();
    for line in lines {
        assert_eq!(
            batch.push(line.as_bytes(), Timestamp::EPOCH, 0),
            Pushed::Taken
        );
    }
    batch
}
