#![no_main]
use promptseg_fuzz::compressed::{is_a_codecs, run};

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer's own hook ends the process, also where the panic is caught.
        let ends = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_a_codecs(panic) {
                ends(panic);
            }
        }));
    },
    |data: &[u8]| run(data)
);
