// Everything the pages do in the browser beside htmx. No page depends on it: forms and links work without.
(() => {
  "use strict";

  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const withSelf = (selector, root) => [
    ...(root instanceof Element && root.matches(selector) ? [root] : []),
    ...all(selector, root),
  ];

  // ---- Times that go on ------------------------------------------------------------------------------------------

  const { clockWords, relativeWords, spanWords } = window.portalSpans;

  // The server says how many seconds are left when it renders: a wrong clock on this machine does no harm.
  const firstSeen = new WeakMap();
  const secondsSinceSeen = (element) => {
    if (!firstSeen.has(element)) firstSeen.set(element, Date.now());
    return (Date.now() - firstSeen.get(element)) / 1000;
  };

  const write = (element, text) => {
    if (text !== null && element.textContent !== text) element.textContent = text;
  };

  const tick = () => {
    for (const element of all("[data-countdown]")) {
      const left = Number(element.dataset.countdown) - secondsSinceSeen(element);
      write(element, clockWords(left));
      const isNear = left <= Number(element.dataset.warnsBelow);
      element.classList.toggle("is-near", isNear);
      element.closest("[data-countdown-card]")?.classList.toggle("is-near", isNear);
    }
    for (const element of all("[data-relative]")) {
      write(element, relativeWords((Date.parse(element.dateTime) - Date.now()) / 1000));
    }
    for (const element of all("[data-elapsed]")) {
      write(element, spanWords(Number(element.dataset.elapsed) + secondsSinceSeen(element)));
    }
  };

  // ---- Toasts --------------------------------------------------------------------------------------------------

  const toast = (title, text) => {
    const template = document.getElementById("toast-template");
    const place = document.getElementById("toasts");
    if (!template || !place) return;
    const piece = template.content.cloneNode(true);
    piece.querySelector('[data-toast-slot="title"]').textContent = title;
    piece.querySelector('[data-toast-slot="text"]').textContent = text;
    const said = all(".portal-toast-title", place).some((other) => other.textContent === title);
    if (!said) place.append(piece);
  };

  // ---- Copy ----------------------------------------------------------------------------------------------------

  const textOf = (element) => ("value" in element ? element.value : element.textContent).trim();

  const copyText = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("copy was refused");
  };

  const copyFrom = async (button) => {
    const source = document.querySelector(button.dataset.copy);
    if (!source) return;
    try {
      await copyText(textOf(source));
    } catch {
      toast("This could not be copied.", "The browser refused it. Mark the text and copy it by hand.");
      return;
    }
    const label = button.getAttribute("aria-label");
    button.classList.add("is-done");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("is-done");
      button.setAttribute("aria-label", label);
    }, 1600);
  };

  // ---- Questions before a form that has one ({% ask %}) --------------------------------------------------------------

  const questionOf = (element) =>
    element instanceof HTMLFormElement ? element.querySelector(":scope > template[data-question]") : null;

  const ask = (question, proceed) => {
    const dialog = document.getElementById("confirm-dialog");
    if (!dialog) return proceed();
    const slot = (name) => dialog.querySelector(`[data-question-slot="${name}"]`);
    slot("title").textContent = question.dataset.title;
    slot("text").replaceChildren(question.content.cloneNode(true));
    slot("label").textContent = question.dataset.label;
    dialog.returnValue = "cancel";
    dialog.addEventListener("close", () => dialog.returnValue === "confirm" && proceed(), { once: true });
    dialog.showModal();
    return undefined;
  };

  const confirmed = new WeakSet();

  // htmx asks before each request; a form with a question gets our dialog instead of window.confirm.
  document.addEventListener("htmx:confirm", (event) => {
    const question = questionOf(event.target);
    if (!question) return;
    event.preventDefault();
    ask(question, () => event.detail.issueRequest(true));
  });

  // ---- Submitting -------------------------------------------------------------------------------------------------

  const isHtmxForm = (form) => ["hx-post", "hx-get", "hx-put", "hx-delete"].some((name) => form.hasAttribute(name));
  const buttonsOf = (form) => [...form.elements].filter((element) => element.matches("button:not([type=button])"));

  const hold = (form) => {
    for (const button of buttonsOf(form)) {
      if (button.disabled) continue;
      button.disabled = true;
      button.dataset.held = "";
    }
    form.setAttribute("aria-busy", "true");
  };

  const free = (form) => {
    for (const button of all("[data-held]", form)) {
      button.disabled = false;
      delete button.dataset.held;
    }
    form.removeAttribute("aria-busy");
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (isHtmxForm(form) || form.method === "dialog" || event.defaultPrevented) return;
    const question = questionOf(form);
    if (question && !confirmed.has(form)) {
      event.preventDefault();
      ask(question, () => {
        confirmed.add(form);
        form.requestSubmit(event.submitter || undefined);
      });
      return;
    }
    confirmed.delete(form);
    if (form.method === "post" && !form.target) setTimeout(() => hold(form)); // after the browser read the form
  });

  // The form that an htmx request belongs to: it is sent by the form itself or by one of its buttons.
  const formOf = (element) => {
    if (element instanceof HTMLFormElement) return element.method === "post" ? element : null;
    return element instanceof HTMLButtonElement ? element.form : null;
  };
  const focusOf = new WeakMap(); // what had the focus when a request began; a held button loses it
  document.addEventListener("htmx:beforeRequest", (event) => {
    const form = formOf(event.target);
    if (!form) return;
    if (form.contains(document.activeElement)) focusOf.set(event.detail.xhr, document.activeElement);
    hold(form);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = formOf(event.detail.elt);
    if (form) free(form);
  });
  // A page that the back button brings out of the browser's cache must not stay locked, nor show old times.
  window.addEventListener("pageshow", (event) => {
    all("form[aria-busy]").forEach(free);
    if (event.persisted && document.querySelector("[data-fresh]")) window.location.reload();
  });

  // ---- htmx: what failed, and where the focus goes ------------------------------------------------------------------

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status < 400) return;
    // A domain error brings its own toast and says where it goes; any other error keeps the page as it is.
    if (xhr.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
  });

  document.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (xhr.getResponseHeader("HX-Retarget")) return;
    if (xhr.status === 404) toast("This is no longer there.", "Reload the page to see what is.");
    else if (xhr.status === 403) toast("You may not do this.", "If you were logged in for long, reload and try again.");
    else toast("Something broke on our side.", `The server answered ${xhr.status}. Try again in a moment.`);
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, () =>
      toast("The portal cannot be reached.", "Check your connection. What is running keeps its end all the same."),
    );
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    const invalid = event.detail.target?.isConnected
      ? event.detail.target.querySelector("[aria-invalid=true]")
      : document.querySelector("[aria-invalid=true]");
    if (invalid && event.detail.xhr?.status === 422) invalid.focus();
  });

  // Somebody who works with the keyboard goes on where the answer stands, and not at the top of the page. It is the
  // place that gets the focus and not a button in it: a second Enter must not do what the new button does.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (target.contains(document.activeElement)) focusOf.set(xhr, document.activeElement);
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const { target, xhr } = event.detail;
    const place = target.isConnected ? target : event.target;
    if (place.matches("[data-reveal]")) place.scrollIntoView({ block: "nearest" });
    const before = focusOf.get(xhr);
    if (!before || document.activeElement !== document.body || !place.closest("main")) return;
    if (before.isConnected) {
      before.focus({ preventScroll: true });
      return;
    }
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
  });

  // ---- Tabs: without JavaScript all panels stand below each other ----------------------------------------------------

  const showTab = (tab, { focus = false } = {}) => {
    const list = tab.closest("[role=tablist]");
    for (const other of all("[role=tab]", list)) {
      const isChosen = other === tab;
      other.setAttribute("aria-selected", String(isChosen));
      other.tabIndex = isChosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls"))?.toggleAttribute("hidden", !isChosen);
    }
    if (focus) tab.focus();
    try {
      if (list.id) localStorage.setItem(`portal-tab-${list.id}`, tab.id);
    } catch {
      // The next visit begins with the first tab.
    }
  };

  const startTabs = (root) => {
    for (const list of withSelf("[role=tablist][data-tabs]", root)) {
      let remembered = null;
      try {
        remembered = list.id && localStorage.getItem(`portal-tab-${list.id}`);
      } catch {
        remembered = null;
      }
      const tabs = all("[role=tab]", list);
      showTab(tabs.find((tab) => tab.id === remembered) || tabs[0]);
    }
  };

  document.addEventListener("keydown", (event) => {
    const tab = event.target instanceof Element && event.target.closest("[role=tab]");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) return;
    const tabs = all("[role=tab]", tab.closest("[role=tablist]"));
    showTab(tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length], { focus: true });
    event.preventDefault();
  });

  // ---- Clicks ----------------------------------------------------------------------------------------------------------

  const showThemeChoice = () => {
    for (const button of all("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === window.portalTheme.choice()));
    }
  };

  const actions = {
    "[data-copy]": (element) => copyFrom(element),
    "[data-dismiss]": (element) => element.closest(".alert, .portal-toast")?.remove(),
    "[role=tab]": (element) => showTab(element),
    "[data-theme-choice]": (element) => {
      window.portalTheme.choose(element.dataset.themeChoice);
      showThemeChoice();
    },
    "[data-fill]": (element) => {
      const input = document.querySelector(element.dataset.fill);
      input.value = element.dataset.value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.focus();
    },
    "[data-toggle]": (element) => {
      const isOpen = document.getElementById(element.getAttribute("aria-controls")).classList.toggle("show");
      element.setAttribute("aria-expanded", String(isOpen));
    },
    "[data-back]": (element, event) => {
      event.preventDefault();
      window.history.back();
    },
  };

  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    for (const [selector, act] of Object.entries(actions)) {
      const element = event.target.closest(selector);
      if (element) act(element, event);
    }
    for (const menu of all("details.account-menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") all("details.account-menu[open]").forEach((menu) => (menu.open = false));
  });

  // ---- Start -------------------------------------------------------------------------------------------------------------

  document.addEventListener("htmx:load", (event) => {
    startTabs(event.detail.elt);
    tick();
  });
  startTabs(document);
  showThemeChoice();
  document.querySelector("[aria-invalid=true]")?.focus();
  tick();
  setInterval(tick, 1000);
  setInterval(() => document.querySelector("[data-elapsed]") && tick(), 100);
})();
