"use strict";
// Refresh the jobs every two seconds. Without the script, the page shows the state of its last reload.
(() => {
  const live = document.querySelector("[data-live]");
  async function update() {
    try {
      const response = await fetch(live.dataset.live);
      if (!response.ok) return;
      live.innerHTML = await response.text(); // rendered by the server, which escapes every text
      if (live.querySelector("[data-over]")) return;
    } catch {
      // The server does not answer; try again later.
    }
    setTimeout(update, 2000);
  }
  if (live) setTimeout(update, 2000);
})();

// The form to try a model: show the answer as it streams.
(() => {
  const form = document.getElementById("try");
  if (!form) return;
  const output = form.querySelector("output");
  const button = form.querySelector("button");

  async function ask() {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: form.elements.model.value,
        messages: [{ role: "user", content: form.elements.prompt.value }],
        max_completion_tokens: 256,
        stream: true,
      }),
    });
    if (!response.ok) {
      const body = await response.json();
      output.textContent = body.error.message;
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
        const piece = JSON.parse(line.slice(6));
        if (piece.error) output.textContent += piece.error.message;
        output.textContent += piece.choices?.[0]?.delta?.content ?? "";
      }
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.textContent = "";
    button.disabled = true;
    try {
      await ask();
    } catch (error) {
      output.textContent = `The server did not answer: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
})();
