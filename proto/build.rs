//! Compiles the .proto files with protox, so that no protoc is needed: the wire types, their descriptors, and what
//! `decoded_size` knows of them.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told by its environment where to write"
)]

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::fmt::Write;

const PACKAGE: &str = "fleetmark.v1";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["fleetmark/v1/fleet.proto"], ["proto"])?;
    // Who asks the controller what it speaks is told from this.
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("fleet.bin"), files.encode_to_vec())?;
    std::fs::write(out.join("shapes.rs"), shapes(&files)?)?;
    tonic_prost_build::configure().codec_path("crate::codec::Codec").compile_fds(files)?;
    Ok(())
}

/// A `static` of type `Shape` per kind of message that is part of `FromAgent`.
fn shapes(files: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let messages = files.file.iter().flat_map(|file| &file.message_type);
    // By name, with the size in memory. The only nested messages are the entries of maps.
    let mut all = BTreeMap::new();
    for message in messages {
        let name = format!(".{PACKAGE}.{}", message.name());
        for entry in &message.nested_type {
            let types = entry.field.iter().map(|field| rust_type(field.r#type()));
            let types = types.collect::<Vec<_>>().join(", ");
            all.insert(format!("{name}.{}", entry.name()), (entry, format!("({types})")));
        }
        all.insert(name, (message, format!("crate::wire::{}", message.name())));
    }
    let mut text = String::new();
    let mut names = vec![format!(".{PACKAGE}.FromAgent")];
    while let Some(name) = names.pop() {
        // Removed, so that each is written once.
        let Some((message, rust_type)) = all.remove(&name) else { continue };
        shape(&mut text, message, &constant(&name), &rust_type)?;
        let fields = message.field.iter().filter(|field| field.r#type() == Type::Message);
        names.extend(fields.map(|field| field.type_name().to_owned()));
    }
    Ok(text)
}

fn shape(text: &mut String, message: &DescriptorProto, name: &str, of: &str) -> std::fmt::Result {
    writeln!(
        text,
        "pub(super) static {name}: Shape = Shape {{ size: size_of::<{of}>(), fields: &["
    )?;
    for field in &message.field {
        if let Some(kind) = kind(field) {
            writeln!(text, "    ({}, {kind}),", field.number())?;
        }
    }
    writeln!(text, "] }};")
}

/// The variant of `Field`; none for single numbers.
fn kind(field: &FieldDescriptorProto) -> Option<String> {
    let is_repeated = field.label() == Label::Repeated;
    Some(match (field.r#type(), is_repeated) {
        (Type::Message, true) => format!("Field::Messages(&{})", constant(field.type_name())),
        (Type::Message, false) => format!("Field::Message(&{})", constant(field.type_name())),
        (Type::String | Type::Bytes, false) => "Field::Text".to_owned(),
        (Type::String | Type::Bytes, true) => "Field::Texts".to_owned(),
        (_, false) => return None,
        (number, true) => format!("Field::Numbers(size_of::<{}>())", rust_type(number)),
    })
}

fn rust_type(of: Type) -> &'static str {
    match of {
        Type::Double | Type::Fixed64 | Type::Sfixed64 => "f64",
        Type::Int64 | Type::Uint64 | Type::Sint64 => "u64",
        Type::String => "String",
        Type::Bytes => "Vec<u8>",
        Type::Bool => "bool",
        _ => "u32",
    }
}

/// `.fleetmark.v1.LoadWindow` -> `LOAD_WINDOW`.
fn constant(name: &str) -> String {
    let mut constant = String::new();
    for letter in name.trim_start_matches(&format!(".{PACKAGE}.")).chars().filter(|c| *c != '.') {
        if !constant.is_empty() && letter.is_uppercase() {
            constant.push('_');
        }
        constant.extend(letter.to_uppercase());
    }
    constant
}
