// What scripts add to the pages of mobile login. Each page works without them; the server decides everything.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const countdown of document.querySelectorAll("[data-countdown]")) {
    watch(countdown);
  }
  for (const form of document.querySelectorAll("form[data-once]")) {
    submitOnce(form);
  }
  const phone = document.querySelector("input[data-phone]");
  if (phone) {
    followCountryCode(phone);
  }
  const code = document.querySelector("input[data-code-length]");
  if (code) {
    takeCode(code);
  }
  const watched = document.querySelector("[data-watch]");
  if (watched) {
    for (const seconds of [4, 10, 25]) {
      setTimeout(() => lookAgain(watched), seconds * 1000);
    }
  }
  // What stands in a live region when the page is loaded is not read out; what comes into it is.
  const news = document.querySelector("[data-news]");
  if (news) {
    setTimeout(() => say(news.textContent.trim()), 200);
  }
});

// Whether the text left is known only after the page was shown. If it seems that it did not, say so without a reload.
function lookAgain(place) {
  if (place.querySelector(".is-wait, .is-bad")) {
    return;
  }
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.addEventListener("load", () => {
    const trouble = request.response?.querySelector("[data-watch] .is-wait");
    if (trouble) {
      place.replaceChildren(trouble);
      say(trouble.textContent.trim());
    }
  });
  request.open("GET", location.pathname);
  request.send();
}

// Counts the seconds down that the server named; then shows what was to be waited for, in the place of the countdown.
function watch(countdown) {
  const end = Date.now() + Number(countdown.dataset.countdown) * 1000;
  const time = countdown.querySelector("[data-time]");
  const ready = countdown.parentElement.querySelector("[data-ready]");
  const button = countdown.closest("button");

  function show(waiting) {
    countdown.hidden = !waiting;
    ready.hidden = waiting;
    button?.setAttribute("aria-disabled", String(waiting));
  }

  function tick() {
    const left = end - Date.now();
    if (left > 0) {
      time.textContent = clock(Math.ceil(left / 1000));
      setTimeout(tick, left % 1000 || 1000);
    } else {
      show(false);
      say(countdown.dataset.done);
    }
  }

  button?.addEventListener("click", (event) => {
    if (button.getAttribute("aria-disabled") === "true") {
      event.preventDefault();
    }
  });
  if (end > Date.now()) {
    show(true);
    tick();
  }
}

function say(words) {
  const region = document.getElementById("login-status");
  if (region && words) {
    region.textContent = words;
  }
}

function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, place) => (place ? String(part).padStart(2, "0") : String(part))).join(":");
}

// Two clicks are one request. Coming back to the page by the browser's button begins anew.
function submitOnce(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.querySelector("button[type=submit]")?.setAttribute("data-busy", "");
  });
  window.addEventListener("pageshow", () => {
    delete form.dataset.sent;
    form.querySelector("button[type=submit]")?.removeAttribute("data-busy");
  });
}

// A number that begins with plus names its country: show that one as chosen.
function followCountryCode(phone) {
  const region = document.querySelector("select[data-region]");
  if (!region) {
    return;
  }
  phone.addEventListener("input", () => {
    const digits = phone.value.normalize("NFKC").replace(/^\s*00/, "+").replace(/[^0-9+]/g, "");
    if (!digits.startsWith("+")) {
      return;
    }
    const fits = (option) => digits.startsWith(`+${option.dataset.callingCode}`);
    if (!fits(region.selectedOptions[0])) {
      const option = Array.from(region.options).find(fits);
      if (option) {
        region.value = option.value;
      }
    }
  });
}

// The code: typed, pasted with the words around it, or read from the text by the browser. Complete, it is checked.
function takeCode(field) {
  field.dataset.scripted = "";
  const length = Number(field.dataset.codeLength);
  const whole = new RegExp(`(?<![0-9])[0-9]{${length}}(?![0-9])`);
  let last = field.value;

  function take(text) {
    const plain = text.normalize("NFKC");
    const found = plain.match(whole);
    const digits = found ? found[0] : plain.replace(/[^0-9]/g, "").slice(0, length);
    if (field.value !== digits) {
      field.value = digits;
    }
    if (field.value.length === length && field.value !== last) {
      field.form.requestSubmit();
    }
    last = field.value;
  }

  field.addEventListener("input", (event) => {
    if (!event.isComposing) {
      take(field.value);
    }
  });
  field.addEventListener("compositionend", () => take(field.value));
  field.addEventListener("paste", (event) => {
    event.preventDefault();
    take(event.clipboardData.getData("text"));
  });

  if ("OTPCredential" in window) {
    const waiting = new AbortController();
    field.form.addEventListener("submit", () => waiting.abort());
    navigator.credentials
      .get({ otp: { transport: ["sms"] }, signal: waiting.signal })
      .then((text) => text && take(text.code))
      .catch(() => {}); // refused, or nothing came: the field is there
  }
}
