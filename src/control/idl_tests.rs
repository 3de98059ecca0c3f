//! Holds the Rust types against the IDL: every field, its optionality and its type, in both directions.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value, json};

use super::call;
use super::types::{
    Cause, ConfigFile, Destination, Diagnostic, Event, LastExit, Process, Reloaded, Route, Source, Status, Step,
};
use super::{Error, RELAY_IDL, SERVICE_IDL, WireError};

type Fields = Vec<(String, Type)>;

#[derive(Clone, Debug, PartialEq)]
enum Type {
    Text,
    Int,
    Bool,
    Object,
    Array(Box<Type>),
    Dictionary(Box<Type>),
    Optional(Box<Type>),
    Named(String),
}

#[derive(Debug, Default)]
struct Idl {
    interface: String,
    types: BTreeMap<String, Fields>,
    methods: BTreeMap<String, (Fields, Fields)>,
    errors: BTreeMap<String, Fields>,
}

/// A parser of the part of the Varlink IDL that is used here.
struct Parser<'a>(Vec<&'a str>);

impl<'a> Parser<'a> {
    fn parse(text: &'a str) -> Idl {
        let mut tokens = Vec::new();
        for line in text.lines() {
            let mut rest = line.split('#').next().unwrap_or_default().trim_start();
            while let Some(first) = rest.chars().next() {
                let symbol = ["->", "[string]", "[]"]
                    .into_iter()
                    .find(|symbol| rest.starts_with(symbol));
                let word = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
                let length = symbol.map_or_else(
                    || {
                        if word(first) {
                            rest.find(|c| !word(c)).unwrap_or(rest.len())
                        } else {
                            1
                        }
                    },
                    str::len,
                );
                tokens.push(&rest[..length]);
                rest = rest[length..].trim_start();
            }
        }
        tokens.reverse();
        let (mut parser, mut idl) = (Parser(tokens), Idl::default());
        while let Some(keyword) = parser.0.pop() {
            let name = parser.0.pop().unwrap().to_owned();
            let duplicate = match keyword {
                "interface" => !std::mem::replace(&mut idl.interface, name).is_empty(),
                "type" => idl.types.insert(name, parser.fields()).is_some(),
                "error" => idl.errors.insert(name, parser.fields()).is_some(),
                "method" => {
                    let takes = parser.fields();
                    parser.expect("->");
                    idl.methods.insert(name, (takes, parser.fields())).is_some()
                }
                other => panic!("{other}"),
            };
            assert!(!duplicate);
        }
        idl
    }

    fn expect(&mut self, token: &str) {
        assert_eq!(self.0.pop(), Some(token));
    }

    fn fields(&mut self) -> Fields {
        let mut fields = Vec::new();
        self.expect("(");
        loop {
            match self.0.pop().unwrap() {
                ")" => return fields,
                "," => {}
                name => {
                    self.expect(":");
                    fields.push((name.to_owned(), self.kind()));
                }
            }
        }
    }

    fn kind(&mut self) -> Type {
        match self.0.pop().unwrap() {
            "string" => Type::Text,
            "int" => Type::Int,
            "bool" => Type::Bool,
            "object" => Type::Object,
            "[]" => Type::Array(Box::new(self.kind())),
            "[string]" => Type::Dictionary(Box::new(self.kind())),
            "?" => Type::Optional(Box::new(self.kind())),
            name => Type::Named(name.to_owned()),
        }
    }
}

impl Idl {
    fn sample(&self, kind: &Type, full: bool) -> Value {
        match kind {
            Type::Text => json!("text"),
            Type::Int => json!(7),
            Type::Bool => json!(true),
            Type::Object => json!({ "any": [1, null] }),
            Type::Array(of) => json!([self.sample(of, full), self.sample(of, full)]),
            Type::Dictionary(of) => json!({ "key": self.sample(of, full) }),
            Type::Optional(of) => self.sample(of, full),
            Type::Named(name) => self.sample_of(&self.types[name], full),
        }
    }

    fn sample_of(&self, fields: &Fields, full: bool) -> Value {
        let shown = fields
            .iter()
            .filter(|(_, kind)| full || !matches!(kind, Type::Optional(_)));
        Value::Object(Map::from_iter(
            shown.map(|(name, kind)| (name.clone(), self.sample(kind, full))),
        ))
    }

    fn hold<T: DeserializeOwned + Serialize>(&self, what: &str, fields: &Fields) {
        let mut named: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let mut known = field_names::<T>().to_vec();
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, named, "{what}: fields in Rust, in the IDL");
        for full in [true, false] {
            let sample = self.sample_of(fields, full);
            let back: T = serde_json::from_value(sample.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(serde_json::to_value(back).unwrap(), sample, "{what}, full: {full}");
        }
        for (name, kind) in fields {
            let whole = self.sample_of(fields, true);
            let with = |value: Option<Value>| {
                let mut sample = whole.as_object().cloned().unwrap();
                sample.remove(name);
                sample.extend(value.map(|value| (name.clone(), value)));
                serde_json::from_value::<T>(Value::Object(sample)).is_ok()
            };
            let optional = matches!(kind, Type::Optional(_));
            assert_eq!(with(None), optional, "{what}.{name} may be left out");
            assert_eq!(with(Some(Value::Null)), optional, "{what}.{name} may be null");
            for wrong in [json!("x"), json!(1), json!(true), json!([]), json!({}), json!([{}])] {
                let fits = self.fits(kind, &wrong);
                assert_eq!(with(Some(wrong.clone())), fits, "{what}.{name} as {wrong}");
            }
        }
    }

    fn fits(&self, kind: &Type, value: &Value) -> bool {
        match kind {
            Type::Text => value.is_string(),
            Type::Int => value.is_i64(),
            Type::Bool => value.is_boolean(),
            Type::Object => value.is_object(),
            Type::Array(of) => value
                .as_array()
                .is_some_and(|list| list.iter().all(|item| self.fits(of, item))),
            Type::Dictionary(of) => value
                .as_object()
                .is_some_and(|map| map.values().all(|item| self.fits(of, item))),
            Type::Optional(of) => self.fits(of, value),
            // No type of ours is without a field that must be there.
            Type::Named(_) => false,
        }
    }
}

/// The names that a struct's `Deserialize` asks for.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = serde::de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("only structs"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(serde::de::Error::custom("seen"))
        }
        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    let _ = T::deserialize(Names(&mut names));
    names
}

#[test]
fn the_types_are_those_of_the_idl() {
    let idl = Parser::parse(RELAY_IDL);
    assert_eq!(idl.interface, call::RELAY);
    let mut left: Vec<&String> = idl.types.keys().collect();
    let mut hold = |name: &str, check: fn(&Idl, &str, &Fields)| {
        left.retain(|other| *other != name);
        check(&idl, name, &idl.types[name]);
    };
    hold("Status", Idl::hold::<Status>);
    hold("Route", Idl::hold::<Route>);
    hold("Source", Idl::hold::<Source>);
    hold("Destination", Idl::hold::<Destination>);
    hold("LastExit", Idl::hold::<LastExit>);
    hold("Process", Idl::hold::<Process>);
    hold("Step", Idl::hold::<Step>);
    hold("Cause", Idl::hold::<Cause>);
    hold("ConfigFile", Idl::hold::<ConfigFile>);
    hold("Diagnostic", Idl::hold::<Diagnostic>);
    assert!(left.is_empty(), "not held: {left:?}");
}

#[test]
fn the_methods_are_those_of_the_idl() {
    let idl = Parser::parse(RELAY_IDL);
    let mut left: Vec<&String> = idl.methods.keys().collect();
    let mut hold = |method: &str, takes: fn(&Idl, &str, &Fields), gives: fn(&Idl, &str, &Fields)| {
        let name = method.strip_prefix("io.sluiced.Relay.").unwrap();
        left.retain(|other| *other != name);
        let (input, output) = &idl.methods[name];
        takes(&idl, method, input);
        gives(&idl, method, output);
    };
    let (nothing, named, waited) = (
        Idl::hold::<call::Nothing>,
        Idl::hold::<call::Named>,
        Idl::hold::<call::Waited>,
    );
    let changed = Idl::hold::<call::Changed>;
    hold(call::GET_STATUS, nothing, Idl::hold::<Status>);
    hold(call::LIST_ROUTES, Idl::hold::<call::Listed>, Idl::hold::<call::Routes>);
    hold(
        call::LIST_PROCESSES,
        Idl::hold::<call::Listed>,
        Idl::hold::<call::Processes>,
    );
    hold(call::PAUSE_ROUTE, named, changed);
    hold(call::RESUME_ROUTE, named, changed);
    hold(call::DRAIN_ROUTE, Idl::hold::<call::Drain>, changed);
    hold(call::START_PROCESS, waited, changed);
    hold(call::STOP_PROCESS, waited, changed);
    hold(call::RESTART_PROCESS, waited, changed);
    hold(call::SIGNAL_PROCESS, Idl::hold::<call::Signal>, nothing);
    hold(call::REOPEN_FILES, nothing, Idl::hold::<call::Reopened>);
    hold(call::RELOAD, Idl::hold::<call::Reload>, Idl::hold::<Reloaded>);
    hold(call::UPGRADE, nothing, Idl::hold::<call::Upgraded>);
    hold(call::EXPLAIN, Idl::hold::<call::Explain>, Idl::hold::<call::Causes>);
    hold(call::GET_CONFIG, nothing, Idl::hold::<call::ConfigFiles>);
    hold(call::MONITOR, Idl::hold::<call::Monitor>, Idl::hold::<Event>);
    hold(call::SHUTDOWN, nothing, nothing);
    assert!(left.is_empty(), "not held: {left:?}");
    let service = Parser::parse(SERVICE_IDL);
    assert_eq!(service.interface, call::SERVICE);
    let (takes, gives) = &service.methods["GetInfo"];
    service.hold::<call::Nothing>("GetInfo", takes);
    service.hold::<call::Info>("GetInfo", gives);
    let (takes, gives) = &service.methods["GetInterfaceDescription"];
    service.hold::<call::Interface>("GetInterfaceDescription", takes);
    service.hold::<call::Description>("GetInterfaceDescription", gives);
}

#[test]
fn the_errors_are_those_of_the_idl() {
    let idl = Parser::parse(RELAY_IDL);
    for (name, fields) in &idl.errors {
        let wire = WireError {
            error: format!("{}.{name}", call::RELAY),
            parameters: idl.sample_of(fields, true).as_object().cloned().unwrap(),
        };
        let error = Error::from_wire(wire.clone());
        assert!(!matches!(error, Error::Varlink { .. }), "{name} is not known");
        assert_eq!(error.to_wire(), wire);
    }
    assert_eq!(idl.errors.len(), 6);
}

#[test]
fn the_manual_names_everything() {
    let manual = include_str!("../../docs/control-protocol.md");
    let idl = Parser::parse(RELAY_IDL);
    let named = |name: &str| assert!(manual.contains(&format!("`{name}`")), "{name} is not in the manual");
    idl.methods.keys().chain(idl.errors.keys()).for_each(|name| named(name));
    for (name, fields) in &idl.types {
        assert!(manual.contains(&format!("**{name}**")), "{name} is not in the manual");
        for (field, kind) in fields {
            let optional = if matches!(kind, Type::Optional(_)) { "?" } else { "" };
            named(&format!("{field}{optional}"));
        }
    }
}
