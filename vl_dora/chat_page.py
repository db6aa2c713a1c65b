"""The page of `ask demo=true`: one question, answered by the base and by the tuned network side by side.

Widgets alone; who answers is given. Nothing is fetched from elsewhere and nothing is reported to anyone: the
page's own security policy forbids it, and gradio's analytics are off.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio as gr

_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'self'"
)
_STYLE = """
.gradio-container { width: 100%; max-width: 1180px !important; margin: 0 auto; }
#head h1 { margin: .2rem 0 0; font-size: 1.4rem; font-weight: 650; overflow-wrap: anywhere; }
#head p { margin: .15rem 0 .2rem; opacity: .72; overflow-wrap: anywhere; }
.side h2 { margin: 0; font-size: 1.05rem; font-weight: 600; }
.side small { margin-left: .4rem; font-size: .88rem; font-weight: 400; opacity: .72; }
.time { min-height: 1.5em; font-size: .88rem; opacity: .72; }
.chat img, .chat video { max-height: 220px; width: auto; }
/* Buttons that would clear or share one of the two conversations alone. */
.chat .message-buttons, .chat .icon-button-wrapper, .chat .share-button { display: none !important; }
#again { align-self: flex-end; width: auto; flex-grow: 0; }
footer { display: none !important; }
"""
FILES = ["image", "video"]


@dataclass(frozen=True)
class Side:
    """One of the two chats: whose answers it shows."""

    title: str
    explanation: str


@dataclass(frozen=True)
class Asked:
    """What was typed and dropped into the page.

    Args:
        text: of the question, perhaps empty.
        files: dropped with it, paths on this machine.
        extras: the further fields of the page, by name; empty ones are absent.
    """

    text: str
    files: tuple[str, ...]
    extras: Mapping[str, str]


# Answers of one question, one side after the other: (text, seconds), or the reason why there is none.
Respond = Callable[[Asked, Any], Iterator["tuple[str, float] | ValueError"]]


@contextmanager
def served(
    title: str,
    facts: str,
    sides: Sequence[Side],
    respond: Respond,
    *,
    new_memory: Callable[[], Any],
    fields: Mapping[str, str],
    hint: str,
    host: str,
    port: int,
) -> Iterator[str]:
    """Serves the page while the block runs; gives its address.

    Args:
        title: of the page.
        facts: a line below it.
        sides: left to right.
        respond: `respond(asked, memory)` yields an answer for each side; memory is its own to change.
        new_memory: the memory of a conversation that has just begun.
        fields: name -> placeholder of fields besides the question.
        hint: placeholder of the question.
        host: name or number that the server listens on.
        port: 0: any that is free.

    Raises:
        ValueError: the port cannot be had.
    """
    # gradio reads it when it is imported, which happens below.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    port = free_port(host, port)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio asks itself whether it is there
    with tempfile.TemporaryDirectory(prefix="vl_dora-chat-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = _built(title, facts, sides, respond, new_memory=new_memory, fields=fields, hint=hint)
        page.queue(default_concurrency_limit=1)
        import gradio as gr
        from starlette.middleware import Middleware

        try:
            page.launch(
                server_name=host,
                server_port=port,
                share=False,
                ssr_mode=False,
                quiet=True,
                inbrowser=False,
                prevent_thread_lock=True,
                show_error=True,
                footer_links=[],
                theme=gr.themes.Base(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
                ),
                css=_STYLE,
                app_kwargs={"middleware": [Middleware(SecurityPolicy)]},
            )
            yield f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/"
        finally:
            page.close(verbose=False)


class SecurityPolicy:
    """Adds the policy to every answer, so that no browser fetches anything from another server."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, guarded)


def _built(
    title: str,
    facts: str,
    sides: Sequence[Side],
    respond: Respond,
    *,
    new_memory: Callable[[], Any],
    fields: Mapping[str, str],
    hint: str,
) -> gr.Blocks:
    from html import escape

    import gradio as gr

    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(f"<h1>{escape(title)}</h1><p>{escape(facts)}</p>", elem_id="head", padding=False)
        memory = gr.State(lambda: new_memory())  # gradio would take a dataclass apart
        chats, times = [], []
        with gr.Row(equal_height=True):
            for number, side in enumerate(sides):
                with gr.Column(min_width=280):
                    head = f"<h2>{escape(side.title)}<small>{escape(side.explanation)}</small></h2>"
                    gr.HTML(head, elem_classes="side", padding=False)
                    chats.append(
                        gr.Chatbot(
                            label=side.title,
                            show_label=False,
                            container=True,
                            elem_id=f"side-{number}",
                            elem_classes="chat",
                            height="52vh",
                            render_markdown=False,
                            feedback_options=None,
                            buttons=[],
                        )
                    )
                    times.append(gr.HTML("", elem_classes="time", padding=False))
        extras = [
            gr.Textbox(label=name, placeholder=text, lines=1, elem_id=f"field-{name}")
            for name, text in fields.items()
        ]
        box = gr.MultimodalTextbox(
            show_label=False,
            placeholder=hint,
            file_types=FILES,
            file_count="multiple",
            autofocus=True,
            elem_id="question",
        )
        again = gr.Button("New conversation", elem_id="again", size="sm")

        def answer(given: Mapping[str, Any], known: Any, *rest: Any) -> Iterator[list[Any]]:
            histories, texts = [list(chat) for chat in rest[: len(sides)]], rest[len(sides) :]
            named = {n: t.strip() for n, t in zip(fields, texts, strict=True) if t and t.strip()}
            asked = Asked(given["text"].strip(), tuple(given["files"]), named)
            said = [{"role": "user", "content": {"path": path}} for path in asked.files]
            said += [{"role": "user", "content": asked.text}] if asked.text else []
            if not said:
                yield [gr.skip()] * (2 + 2 * len(sides))
                return
            histories = [history + said for history in histories]
            notes = ["…"] + [""] * (len(sides) - 1)
            empty = gr.MultimodalTextbox(value={"text": "", "files": []}, interactive=False)
            yield [empty, known, *histories, *notes]
            for number, found in enumerate(respond(asked, known)):
                text = f"Not answered: {found}" if isinstance(found, ValueError) else found[0] or "(nothing)"
                histories[number] = [*histories[number], {"role": "assistant", "content": text}]
                notes[number] = "" if isinstance(found, ValueError) else f"{found[1]:.2f} s"
                if number + 1 < len(sides):
                    notes[number + 1] = "…"
                yield [gr.skip(), known, *histories, *notes]
            yield [gr.MultimodalTextbox(interactive=True), known, *histories, *notes]

        box.submit(
            answer, [box, memory, *chats, *extras], [box, memory, *chats, *times], api_visibility="private"
        )
        again.click(
            lambda: [new_memory(), *[[] for _ in chats], *["" for _ in times]],
            None,
            [memory, *chats, *times],
            api_visibility="private",
        )
    return page


def free_port(host: str, port: int) -> int:
    """The port, or any free one for 0.

    Raises:
        ValueError: it is taken, not allowed, or the host is none of this machine.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"port={port} must be a whole number in 0..65535; 0 takes any that is free")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ValueError(
            f"host={host} port={port} cannot be listened on ({error.strerror or error}); give another port, "
            "or 0 for any that is free"
        ) from None
