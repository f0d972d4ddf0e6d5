"""LLaVA's own controller out of a checkout, without the package's imports (torch): run by FastChat's Python.

python llava_controller.py CHECKOUT --host H --port P
"""

import runpy
import sys
import types

package = types.ModuleType("llava")
package.__path__ = [sys.argv.pop(1) + "/llava"]
sys.modules["llava"] = package
runpy.run_module("llava.serve.controller", run_name="__main__", alter_sys=True)
