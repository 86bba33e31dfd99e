//! Messages of the console's page.

use promptseg::console::request::{Action, Ask, Request, parse};
use promptseg::pixels::MaskInput;

/// Size of the image that masks are decoded for.
const SIZE: (u32, u32) = (64, 48);

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(request) = parse(&text) else { return };
    let Request::Ask(Ask { action: Action::Prompt(prompt), .. }) = request else { return };
    assert!(prompt.class.chars().all(|c| !c.is_control()), "{:?}", prompt.class);
    let Some(mask) = prompt.mask else { return };
    if let Ok(MaskInput::Binary { width, height, data }) = mask.to_input(SIZE) {
        assert_eq!((width, height, data.len()), (SIZE.0, SIZE.1, (SIZE.0 * SIZE.1) as usize));
        let inside: u32 = mask.counts.iter().skip(1).step_by(2).sum();
        assert_eq!(data.iter().filter(|v| **v == 255).count(), inside as usize);
    }
}
