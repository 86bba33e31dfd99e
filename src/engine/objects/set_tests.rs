use super::*;
use crate::prompt::Prompt;

const FRAME: PromptedFrame = PromptedFrame { number: 1, size: (640, 480) };

fn request(id: u32, prompt: Prompt) -> ObjectPrompt {
    ObjectPrompt { id, prompt, ..ObjectPrompt::default() }
}

fn ids(objects: &ObjectSet) -> Vec<u32> {
    objects.iter().map(|o| o.id).collect()
}

#[test]
fn clicks_refine_an_object_until_a_new_object_is_requested() {
    let mut objects = ObjectSet::default();
    assert_eq!(objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME), Ok(1));
    assert_eq!(objects.click(Point::background(5.0, 5.0), Persistence::Hold, &FRAME), Ok(1));
    objects.new_object();
    assert_eq!(objects.click(Point::foreground(9.0, 9.0), Persistence::Hold, &FRAME), Ok(2));
    assert_eq!(objects.get(1).unwrap().prompt.points.len(), 2);
    assert_eq!(objects.get(2).unwrap().prompt.points.len(), 1);
}

#[test]
fn a_further_click_feeds_the_previous_logits_back() {
    let mut objects = ObjectSet::default();
    objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.get(1).unwrap().refined().mask, None);
    let logits = LowResLogits { side: 1, data: vec![3.0].into() };
    objects.get_mut(1).unwrap().previous_logits = Some(logits.clone());
    objects.click(Point::foreground(2.0, 2.0), Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits));
}

#[test]
fn a_mask_prompt_replaces_the_logits_and_logits_replace_the_mask_prompt() {
    let logits = |v: f32| LowResLogits { side: 1, data: vec![v].into() };
    let mut objects = ObjectSet::default();
    objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
    objects.get_mut(1).unwrap().previous_logits = Some(logits(3.0));
    objects.mask(logits(7.0), Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits(7.0)));
    objects.get_mut(1).unwrap().previous_logits = Some(logits(5.0));
    objects.click(Point::foreground(2.0, 2.0), Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits(5.0)));
}

#[test]
fn clear_ignores_the_objects_of_its_message() {
    let mut objects = ObjectSet::default();
    objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
    let twice = vec![request(3, Prompt::default()), request(3, Prompt::default()), request(70_000, Prompt::default())];
    assert_eq!(objects.apply(Operation::Clear, twice, Persistence::Hold, &FRAME), Ok(Vec::new()));
    assert_eq!(ids(&objects), [0; 0]);
}

#[test]
fn set_replaces_all_add_refines_or_replaces_one_remove_removes() {
    let mut objects = ObjectSet::default();
    objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
    let set = vec![request(7, Prompt::point(2.0, 2.0)), request(0, Prompt::bbox(0.0, 0.0, 4.0, 4.0))];
    assert_eq!(objects.apply(Operation::Set, set, Persistence::Hold, &FRAME).unwrap(), [7, 1]);
    assert_eq!(ids(&objects), [1, 7]);
    let more = ObjectPrompt { refine: true, ..request(7, Prompt::point(3.0, 3.0)) };
    objects.apply(Operation::Add, vec![more], Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.get(7).unwrap().prompt.points.len(), 2);
    objects.apply(Operation::Add, vec![request(7, Prompt::point(4.0, 4.0))], Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.get(7).unwrap().prompt.points, [Point::foreground(4.0, 4.0)]);
    objects.apply(Operation::Remove, vec![request(7, Prompt::default())], Persistence::Hold, &FRAME).unwrap();
    assert_eq!(ids(&objects), [1]);
    objects.apply(Operation::Clear, Vec::new(), Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.iter().count(), 0);
}

#[test]
fn a_tag_names_the_same_object_again() {
    let tagged = |tag: &str, x| ObjectPrompt { tag: tag.into(), ..request(0, Prompt::point(x, 1.0)) };
    let mut objects = ObjectSet::default();
    let mut add = |prompts| objects.apply(Operation::Add, prompts, Persistence::Hold, &FRAME).unwrap();
    assert_eq!(add(vec![tagged("cup 7", 1.0), tagged("cup 8", 2.0), tagged("", 3.0)]), [1, 2, 3]);
    assert_eq!(add(vec![tagged("", 3.0), tagged("cup 8", 4.0)]), [4, 2]);
    let object = objects.get(2).unwrap();
    assert_eq!((object.tag.as_str(), &object.prompt.points[..]), ("cup 8", &[Point::foreground(4.0, 1.0)][..]));
}

#[test]
fn a_wrong_message_changes_nothing() {
    let mut objects = ObjectSet::default();
    objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
    let unknown = objects.apply(Operation::Remove, vec![request(9, Prompt::default())], Persistence::Hold, &FRAME);
    assert_eq!(unknown.unwrap_err().kind, RefusalKind::UnknownObject);
    let twice = vec![request(3, Prompt::point(1.0, 1.0)), request(3, Prompt::point(2.0, 2.0))];
    assert!(objects.apply(Operation::Set, twice, Persistence::Hold, &FRAME).is_err());
    let large = vec![request(70_000, Prompt::point(1.0, 1.0))];
    assert!(objects.apply(Operation::Set, large, Persistence::Hold, &FRAME).is_err());
    assert_eq!(ids(&objects), [1]);
}

#[test]
fn an_object_without_an_id_takes_no_id_that_the_message_names() {
    let mut objects = ObjectSet::default();
    let set =
        vec![request(0, Prompt::point(1.0, 1.0)), request(1, Prompt::point(2.0, 2.0)), request(0, Prompt::default())];
    assert_eq!(objects.apply(Operation::Set, set, Persistence::Hold, &FRAME).unwrap(), [2, 1, 3]);
    assert_eq!(ids(&objects), [1, 2, 3]);
}

#[test]
fn when_all_ids_are_taken_none_is_overwritten() {
    let mut objects = ObjectSet::default();
    let all = (1..=MAX_OBJECT_ID).map(|id| request(id, Prompt::point(id as f32, 0.0))).collect();
    objects.apply(Operation::Set, all, Persistence::Hold, &FRAME).unwrap();
    let last = objects.get(MAX_OBJECT_ID).unwrap().prompt.clone();
    let refused = |r: Result<u32, Refusal>| assert_eq!(r.unwrap_err().kind, RefusalKind::TooManyObjects);
    refused(objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME));
    let one = vec![request(0, Prompt::point(1.0, 1.0))];
    refused(objects.clone().apply(Operation::Add, one, Persistence::Hold, &FRAME).map(|_| 0));
    assert_eq!(objects.get(MAX_OBJECT_ID).unwrap().prompt, last);
    assert_eq!(objects.check().unwrap_err().kind, RefusalKind::TooManyObjects);
}

#[test]
fn the_points_of_an_object_are_bounded() {
    let mut objects = ObjectSet::default();
    for i in 0..MAX_POINTS {
        objects.click(Point::foreground(i as f32, 1.0), Persistence::Hold, &FRAME).unwrap();
    }
    assert_eq!(objects.check(), Ok(()));
    objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
    assert_eq!(objects.check().unwrap_err().kind, RefusalKind::BadPrompt);
}
