"""Any OpenAI-compatible server (vLLM, SGLang, llama.cpp, Ollama, a hosted model) as a worker's engine."""
