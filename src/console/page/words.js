// Text prompts: the field for phrases, what the node understood of them, and what it searches for.

import { toast } from "./panels.js";

const find = (id) => document.getElementById(id);

/** Returns the line below the field. */
export function searchedInWords(phrases) {
  return phrases.length === 0 ? "No phrases are searched for." : `Searching for ${phrases.join(", ")}`;
}

/** Sends the phrases of the field, and shows what was understood. `ask` sends an action and returns its answer. */
export function bindWords(ask) {
  find("text-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await ask({ do: "text", text: find("text-field").value });
    if (!answer.ok) return;
    toast(answer.refused ? "warning" : "info", answer.text);
    find("text-state").textContent = answer.text;
    find("text-field").blur();
  });
}

/** Shows the phrases that are searched for; `null` without a text model. */
export function showWords(phrases, isOperator) {
  const form = find("text-form");
  form.hidden = phrases === null;
  if (phrases === null) return;
  for (const element of form.querySelectorAll("input, button")) element.disabled = !isOperator;
  const line = searchedInWords(phrases);
  const state = find("text-state");
  // A screen reader hears changes only.
  if (state.textContent !== line) state.textContent = line;
}

export function focusWords() {
  if (!find("text-form").hidden) find("text-field").focus();
}
