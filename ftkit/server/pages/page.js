"use strict";
// Keeps what is live up to date. The page reads well without it: it is then as old as its last reload.
(() => {
  const live = document.querySelector("[data-live]");
  async function update() {
    try {
      const response = await fetch(live.dataset.live);
      if (!response.ok) return;
      live.innerHTML = await response.text(); // made by the server, every text in it escaped
      if (live.querySelector("[data-over]")) return;
    } catch {
      // The server is away; it may come back.
    }
    setTimeout(update, 2000);
  }
  if (live) setTimeout(update, 2000);
})();

// The box to try a prompt in: the answer is shown as it comes.
(() => {
  const form = document.getElementById("try");
  if (!form) return;
  const said = form.querySelector("output");
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
      const told = await response.json();
      said.textContent = told.error.message;
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
        if (piece.error) said.textContent += piece.error.message;
        said.textContent += piece.choices?.[0]?.delta?.content ?? "";
      }
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.textContent = "";
    button.disabled = true;
    try {
      await ask();
    } catch (error) {
      said.textContent = `The server did not answer: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
})();
