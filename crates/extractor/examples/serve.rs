//! A small server over a model folder in the form of OpenAI's API, for tests on this machine: `serve MODEL_FOLDER [PORT_FILE]`.
//!
//! It answers `/v1/completions` and `/v1/chat/completions` one after the other, with this project's own decoding, so that what an endpoint
//! gives can be compared with what the model itself gives. The port is written to PORT_FILE, or said on standard output. With SERVE_BUSY=N in the
//! environment each Nth request is turned away, as a busy server does; with SERVE_LAST=N it ends after N answers; SERVE_PORT asks for a port.

use std::collections::BTreeSet;
use std::path::PathBuf;

use causal_lm::load_checkpoint;
use contract::pipeline::{Begin, Extraction, Strategy};
use contract::records::{FinishReason, PromptForm, Split};
use extractor::LoadedModel;
use extractor::generation::generate;
use extractor::prompts::{Prompt, Prompts};
use serde_json::{Value, json};
use tch::{Device, Kind};
use text_tokens::TextTokenizer;
use tiny_http::{Header, Method, Response, Server};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments
        .next()
        .ok_or_else(|| anyhow::anyhow!("usage: serve MODEL_FOLDER [PORT_FILE]"))?;
    let (model, files) = load_checkpoint(&folder, None, Kind::Float, Device::Cpu)?;
    let mut model = LoadedModel::new(model, TextTokenizer::load(&files)?, Begin::Tokenizer)?;
    let count = |variable: &str| -> u64 {
        let value = std::env::var(variable).ok();
        value.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let (busy, last, port) = (count("SERVE_BUSY"), count("SERVE_LAST"), count("SERVE_PORT"));
    let server = Server::http(format!("127.0.0.1:{port}")).map_err(|error| anyhow::anyhow!("{error}"))?;
    let port = server.server_addr().to_ip().map_or(0, |address| address.port());
    match arguments.next() {
        Some(file) => contract::files::write_atomic(&file, port.to_string().as_bytes())?,
        None => println!("{port}"),
    }
    for (number, mut request) in (1_u64..).zip(server.incoming_requests()) {
        let mut body = String::new();
        request.as_reader().read_to_string(&mut body)?;
        let is_chat = request.url() == "/v1/chat/completions";
        let (status, answer) = if busy > 0 && number.is_multiple_of(busy) {
            (503, json!({ "error": "busy" }))
        } else if *request.method() != Method::Post || !(is_chat || request.url() == "/v1/completions") {
            (
                404,
                json!({ "error": format!("no such place: {}", request.url()) }),
            )
        } else {
            match serde_json::from_str(&body)
                .map_err(anyhow::Error::from)
                .and_then(|body| answer(&mut model, is_chat, &body))
            {
                Ok(answer) => (200, answer),
                Err(error) => (400, json!({ "error": error.to_string() })),
            }
        };
        let kind = Header::from_bytes("Content-Type", "application/json")
            .map_err(|()| anyhow::anyhow!("a header that is none"))?;
        let mut response = Response::from_string(answer.to_string())
            .with_status_code(status)
            .with_header(kind);
        if status == 503 {
            response.add_header(
                Header::from_bytes("Retry-After", "0")
                    .map_err(|()| anyhow::anyhow!("a header that is none"))?,
            );
        }
        request.respond(response)?;
        if number == last {
            break;
        }
    }
    Ok(())
}

/// What the model writes.
fn answer(model: &mut LoadedModel, is_chat: bool, body: &Value) -> anyhow::Result<Value> {
    let text = if is_chat {
        body.pointer("/messages/0/content")
    } else {
        body.get("prompt")
    };
    let text = text
        .and_then(Value::as_str)
        .ok_or_else(|| anyhow::anyhow!("expected a prompt"))?;
    let number = |key: &str| body.get(key).and_then(Value::as_f64);
    let strategy = Strategy {
        name: "asked".to_owned(),
        temperature: number("temperature").unwrap_or(1.0),
        top_p: number("top_p").unwrap_or(1.0),
        top_k: number("top_k").unwrap_or(0.0) as usize,
        ..Strategy::default()
    };
    let settings = Extraction {
        new_tokens: number("max_tokens").unwrap_or(16.0) as usize,
        strategy: vec![strategy],
        ..Extraction::default()
    };
    let tokens = model.tokenizer.encode(text)?;
    let prompts = Prompts {
        all: vec![Prompt {
            doc_id: Some("asked".to_owned()),
            split: Split::Train,
            copies: 1,
            form: PromptForm::Prefix,
            number: 0,
            tokens,
            begun: None,
            reference: Vec::new(),
        }],
        of_strategy: vec![vec![0]],
        special_tokens: BTreeSet::new(),
    };
    let seed = number("seed").unwrap_or(0.0) as u64;
    let drawn = generate(std::slice::from_mut(model), &settings, &prompts, seed)?;
    let sample = drawn
        .samples
        .first()
        .ok_or_else(|| anyhow::anyhow!("nothing was generated"))?;
    let finish = match sample.finish {
        FinishReason::Length => "length",
        FinishReason::End => "stop",
    };
    let choice = if is_chat {
        let content: Vec<Value> = sample
            .logprobs
            .iter()
            .map(|logprob| json!({ "logprob": logprob }))
            .collect();
        json!({ "message": { "role": "assistant", "content": sample.generation }, "finish_reason": finish, "logprobs": { "content": content } })
    } else {
        json!({ "text": sample.generation, "finish_reason": finish, "logprobs": { "token_logprobs": sample.logprobs } })
    };
    Ok(json!({ "choices": [choice], "usage": { "total_tokens": sample.tokens_read } }))
}
