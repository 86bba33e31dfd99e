#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| promptseg_fuzz::phrases::run(data));
