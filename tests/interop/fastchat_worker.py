"""A worker of FastChat's own classes, without a model: run by FastChat's Python, never by ours.

python fastchat_worker.py CONTROLLER PORT
"""

import json
import sys
import time
from types import SimpleNamespace

import fastchat.serve.base_model_worker as base
import uvicorn
from fastchat.conversation import get_conv_template

WORDS = ["The", "curve", "rises", "and", "then", "it", "stays", "flat", "."]


class Worker(base.BaseModelWorker):
    """Says how many images came and a sentence, word by word."""

    def __init__(self, controller, port):
        super().__init__(
            controller, f"http://127.0.0.1:{port}", "w", "echo", ["echo"], 5, "vicuna_v1.1", multimodal=True
        )
        self.context_len = 2048
        self.tokenizer = SimpleNamespace(num_tokens=lambda text: len(text.split()))
        self.init_heart_beat()

    def make_conv_template(self, conv_template=None, model_path=None):
        return get_conv_template(conv_template)

    def generate_stream_gate(self, params):
        head = params["prompt"] if params.get("echo", True) else ""
        images = params.get("images") or []
        words = [f"{len(images)} image(s);", *WORDS]
        for count in range(1, len(words) + 1):
            last = count == len(words)
            usage = {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}
            step = {"text": head + " ".join(words[:count]), "error_code": 0, "usage": usage}
            yield json.dumps({**step, "finish_reason": "stop" if last else None}).encode() + b"\0"
            time.sleep(0.01)

    def generate_gate(self, params):
        *_, last = self.generate_stream_gate(params)
        return json.loads(last[:-1])

    def get_embeddings(self, params):
        return {"embedding": [[0.5, 0.5] for _ in params["input"]], "token_num": 1}


if __name__ == "__main__":
    Worker(sys.argv[1], int(sys.argv[2]))
    uvicorn.run(base.app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
