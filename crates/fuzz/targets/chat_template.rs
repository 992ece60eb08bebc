#![no_main]
#![allow(
    missing_docs,
    unsafe_code,
    reason = "libFuzzer's entry points, made by its macro"
)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::chat_template(bytes));
