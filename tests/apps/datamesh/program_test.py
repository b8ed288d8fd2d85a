#!/usr/bin/env python3
"""program_test.py PROGRAM DOCS [TEST...]: the program from outside, over real folders."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import unittest

from program import PASSWORD, Ended, World

PROGRAM, DOCS = "", ""

# A command line for each leaf command that fails early where there is no node.
MINIMAL = {
    "init": [],
    "doctor": [],
    "put": ["x"],
    "get": ["/x"],
    "cat": ["/x"],
    "ls": [],
    "info": ["/x"],
    "mkdir": ["/x"],
    "rm": ["/x"],
    "mv": ["/x", "/y"],
    "cp": ["/x", "/y"],
    "tag": ["/x", "k=v"],
    "versions": ["/x"],
    "restore": ["/x"],
    "status": [],
    "stats": [],
    "verify": [],
    "repair": [],
    "cleanup": [],
    "rebalance": [],
    "topology": [],
    "distribution": [],
    "rebuild": [],
    "recover": [],
    "bench": ["--size", "0"],
    "drive add": ["d"],
    "drive list": [],
    "drive drain": ["d"],
    "drive replace": ["d", "e"],
    "drive adopt": ["d"],
    "drive remove": ["d"],
    "drive label": ["d", "zone=x"],
    "drive rule": [],
    "drive audits": [],
    "node init": [],
    "node start": [],
    "node status": [],
    "node allow": ["5a" * 32, "1G"],
    "node drain": [],
    "node leave": [],
    "node pause": [],
    "node resume": [],
    "node limit": [],
    "network health": [],
    "peers": [],
    "bandwidth": [],
    "discover": ["--timeout", "1"],
    "preset list": [],
    "preset show": ["x"],
    "preset save": ["x"],
    "preset remove": ["x"],
    "preset use": ["x"],
    "members key": ["k"],
    "members init": ["l"],
    "members add": ["l", "5a" * 32],
    "members remove": ["l", "5a" * 32],
    "members set": ["l", "--lasts", "90d"],
    "members sign": ["l"],
    "members show": ["l"],
    "invite create": ["i"],
    "invite show": ["i"],
    "invite accept": ["i"],
    "vault list": [],
    "vault create": ["x"],
    "vault use": ["x"],
    "vault restore": ["no-such-key"],
    "vault destroy": ["x"],
    "key list": [],
    "key change-password": [],
    "key recovery": [],
    "key trust-device": [],
    "key remove": ["1"],
    "key rotate": [],
    "key export": ["k"],
    "config show": [],
    "config check": [],
    "config set": ["vault", "x", "--dry-run"],
    "explain": ["DM-NO-SUCH-CODE"],
    "completion": ["bash"],
    "help": ["nonsense"],
    "version": [],
}
NEED_NO_NODE = {"discover", "preset list", "config show", "config check", "config set", "completion", "version"}
ESCAPE = b"\x1b"


class WithoutNode(unittest.TestCase):
    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)

    def fails(self, code, *arguments, **more):
        ended = self.world.run(*arguments, **more)
        self.assertEqual(ended.code, code, str(ended))
        self.assertEqual(ended.out, b"", "a failure printed data")
        lines = ended.errors.splitlines()
        self.assertEqual(len(lines), 3, str(ended))
        self.assertTrue(lines[0].startswith("error: "), str(ended))
        self.assertRegex(lines[1], r"^  why: .+ \(DM-[A-Z-]+\)$")
        self.assertTrue(lines[2].startswith("  next: "), str(ended))
        return ended

    def test_the_simulator_beside_the_program_takes_its_place(self):
        self.world.program = shutil.copy(PROGRAM, self.world.path("work", "datamesh"))
        ended = self.fails(5, "sim", "--seed", "7")
        self.assertIn("datamesh-sim", ended.errors)
        self.assertIn("next: in the source of DataMesh: cmake --build", ended.errors)
        told = json.loads(self.world.run("sim", "--json").text)
        self.assertEqual((told["message_type"], told["command"], told["error"]), ("exit_error", "sim", "DM-NOT-FOUND"))
        os.chmod(self.world.write("work/datamesh-sim", '#!/bin/sh\necho "$# $*"\nexit 7\n'), 0o700)
        ended = self.world.run("sim", "--seed", "7", "--help", "")
        self.assertEqual((ended.code, ended.text, ended.err), (7, "4 --seed 7 --help \n", b""))

    def test_every_leaf_command_is_tried(self):
        schema = set(self.world.schema["$defs"])
        self.assertEqual(set(MINIMAL) - schema, set(), "a command has no schema")
        with open(os.path.join(DOCS, "commands.md"), encoding="utf-8") as file:
            documented = set(re.findall(r"^## datamesh (.+)$", file.read(), re.MULTILINE))
        self.assertEqual(documented, set(MINIMAL))

    def test_every_command_tells_its_failure_as_json(self):
        for command, arguments in MINIMAL.items():
            with self.subTest(command=command):
                lines = self.world.json(command, *arguments)
                if command in NEED_NO_NODE:
                    self.assertEqual(lines.code, 0)
                else:
                    self.assertIn(lines.code, (1, 2, 5, 10))

    def test_every_command_tells_a_wrong_command_line_as_json(self):
        for command in MINIMAL:
            with self.subTest(command=command):
                lines = self.world.json(command, "--no-such-option")
                self.assertEqual(lines.code, 2)
                self.assertEqual(lines.failure["error"], "DM-USAGE")
                self.assertEqual(len(lines.all), 1)

    def test_every_command_has_help(self):
        for command in MINIMAL:
            with self.subTest(command=command):
                ended = self.world.run(*command.split(), "--help")
                self.assertEqual((ended.code, ended.err), (0, b""), str(ended))
                self.assertIn("Usage: datamesh " + command, ended.text)
                self.assertEqual(ended.text, self.world.run("help", *command.split()).text)

    def members(self, command: str, *arguments: str, key: str = "ann.key", password: str = "ann", code: int = 0):
        name = self.world.write("work/password", password + "\n")
        os.chmod(name, 0o600)
        told = self.world.json("members " + command, *arguments, "--operator-password-file", name, *(["--operator-key", key] if key else []))
        self.assertEqual(told.code, code, told.all)
        return told

    def test_an_operator_says_who_is_a_member(self):
        ann = self.members("key", "ann.key", key="").summary
        self.assertTrue(ann["made"])
        path = self.world.path("work", "ann.key")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        shown = self.world.json("members key", "ann.key").summary
        self.assertEqual((shown["id"], shown["made"]), (ann["id"], False))
        one, two = "5a" * 32, "5b" * 32
        mesh = "a mesh for the tests of members"
        made = self.members("init", "list", "--network", mesh).summary
        self.assertEqual((made["number"], made["members"], made["threshold"], made["operators"]), (1, 0, 1, [ann["id"]]))
        self.assertTrue(made["complete"])
        self.members("init", "list", "--network", mesh, code=1)
        self.assertEqual(self.members("add", "list", one, two, "--label", "M\u00fcller").summary["members"], 2)
        for command in (("members", "show"), ("invite", "show"), ("invite", "accept")):
            self.assertIn("  next: ls -l " + self.world.path("work"), self.world.run(*command, "none").errors)
        told = self.world.json("members show", "list")
        self.assertEqual([(item["node"], item["label"]) for item in told.items], [(one, "M\u00fcller"), (two, "M\u00fcller")])
        self.assertEqual(told.summary["number"], 2)
        before = self.read("list")
        self.members("remove", "list", one, "--dry-run")
        self.assertEqual(self.read("list"), before)
        self.assertEqual(self.members("remove", "list", one).summary["members"], 1)
        self.assertEqual(self.members("remove", "list", one, code=5).failure["error"], "DM-NOT-FOUND")
        self.assertIn("expires", self.members("set", "list", "--lasts", "90d").summary)
        self.assertNotIn("expires", self.members("set", "list", "--lasts-forever").summary)
        people = self.world.run("members", "show", "list").text
        self.assertIn(two, people)
        self.assertIn("has signed", people)
        self.assertEqual(self.members("add", "list", "5c", code=2).failure["error"], "DM-INVALID-ARGUMENT")
        self.assertEqual(self.members("add", "list", one, "--label", "x" * 65, code=2).failure["error"], "DM-INVALID-ARGUMENT")
        self.assertEqual(self.members("add", "list", one, password="bob", code=12).failure["error"], "DM-WRONG-PASSWORD")
        self.assertEqual(self.members("add", "list", one, key="", code=2).failure["error"], "DM-USAGE")

    def read(self, name: str) -> bytes:
        with open(self.world.path("work", name), "rb") as file:
            return file.read()

    def test_two_operators_sign_what_two_have_to(self):
        ann = self.members("key", "ann.key", key="").summary["id"]
        bob = self.members("key", "bob.key", key="", password="bob").summary["id"]
        self.members("key", "eve.key", key="", password="eve")
        both = ("--operator", ann, "--operator", bob, "--threshold", "2")
        self.members("init", "list", "--network", "a mesh for the tests of members", "--operator", bob, code=2)
        made = self.members("init", "list", "--network", "a mesh for the tests of members", *both).summary
        self.assertEqual((made["complete"], made["signers"]), (False, [ann]))
        self.assertIn("1 more operator has to sign", self.world.run("members", "show", "list").text)
        self.assertTrue(self.members("sign", "list", key="bob.key", password="bob").summary["complete"])
        self.assertEqual(self.members("add", "list", "5a" * 32, key="eve.key", password="eve", code=4).failure["error"], "DM-PERMISSION-DENIED")
        self.assertEqual(self.members("set", "list", "--threshold", "3", code=2).failure["error"], "DM-INVALID-ARGUMENT")
        whole = self.read("list")
        self.world.write("work/list", whole[:-1] + bytes([whole[-1] ^ 1]))
        self.assertEqual(self.world.json("members show", "list").failure["error"], "DM-AUTHENTICATION-FAILED")

    def test_wrong_command_lines_end_with_2_and_a_suggestion(self):
        self.assertIn("did you mean 'put'?", self.fails(2, "pt", "x").errors)
        self.assertIn("did you mean '--json'?", self.fails(2, "ls", "--jsn").errors)
        self.fails(2, "get")
        self.fails(2, "put", "x", "--policy", "4x2")
        self.fails(2, "drive")
        self.fails(2, "get", "/x", "--to", "-", "--force")
        self.fails(2, "get", "/x", "--range", "0-9")
        self.fails(2, "put")
        self.fails(2, "put", "-")
        self.fails(2, "put", "a", "b", "--as", "c")
        self.fails(2, "put", "a", "b/a")

    def test_without_a_node_the_exit_code_is_10(self):
        ended = self.fails(10, "ls")
        self.assertIn("next: datamesh init", ended.errors)

    def test_a_variable_sets_any_option(self):
        ended = self.world.run("pt", env={"DATAMESH_JSON": "1"})
        self.assertEqual(json.loads(ended.out)["error"], "DM-USAGE")
        self.fails(2, "ls", env={"DATAMESH_COLOR": "blue"})

    def test_settings_come_from_flag_variable_file_and_default(self):
        self.world.write("config/datamesh/config.toml", "memory = '64M'\nquiet = true\n")
        shown = {item["key"]: item for item in self.world.json("config show", "--color", "never", env={"DATAMESH_QUIET": "0"}).items}
        self.assertEqual((shown["color"]["values"], shown["color"]["origin"]), (["never"], "flag"))
        self.assertEqual((shown["quiet"]["values"], shown["quiet"]["where"]), (["false"], "DATAMESH_QUIET"))
        self.assertEqual((shown["memory"]["values"], shown["memory"]["origin"]), (["64M"], "config"))
        self.assertTrue(shown["memory"]["where"].endswith("config.toml:1"))
        self.assertEqual(shown["if-exists"]["origin"], "default")
        self.assertEqual(shown["home"]["values"], [self.world.path("data/datamesh")])
        text = self.world.run("config", "show", "--origin").text
        self.assertRegex(text, r"(?m)^memory +64M +\S+config\.toml:1$")

    def test_a_wrong_configuration_names_line_and_suggestion(self):
        self.world.write("config/datamesh/config.toml", "# mine\nmemroy = '64M'\n")
        for command in (["ls"], ["config", "check"]):
            ended = self.fails(2, *command)
            self.assertIn("line 2: unknown key 'memroy'; did you mean 'memory'?", ended.errors)
        self.assertEqual(self.world.run("version").code, 0)
        self.assertEqual(self.world.run("ls", "--help").code, 0)

    def test_a_line_that_can_not_be_read_tells_the_command_and_no_option(self):
        for words, command in (
            (["--json", "nosuch"], "nosuch"),
            (["nosuch", "--json"], "nosuch"),
            (["--json", "drive"], "drive"),
            (["--home", "drive", "--json", "drive", "nosuch"], "drive"),
            (["--json", "drive", "add"], "drive add"),
            (["--json", "--nosuch"], ""),
        ):
            with self.subTest(words=words):
                ended = self.world.run(*words)
                self.assertEqual((ended.code, json.loads(ended.text)["command"]), (2, command), str(ended))

    def test_settings_are_written_and_dry_runs_write_nothing(self):
        path = self.world.path("config/datamesh/config.toml")
        self.assertEqual(self.world.json("config set", "memory", "64M", "--dry-run").code, 0)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.world.json("config set", "memory", "64M").code, 0)
        self.assertEqual(self.world.json("config check").summary["keys"], 1)
        self.assertEqual(self.world.json("config set", "memory", "lots").code, 2)
        self.assertEqual(self.world.json("config set", "memroy", "64M").code, 2)

    def test_root_has_settings_of_its_own_above_those_of_the_machine(self):
        machine = self.world.write("machine.toml", "vault = 'shared'\nquiet = true\n")
        mine = self.world.path("me/.config/datamesh/config.toml")
        env = {"XDG_CONFIG_HOME": None, "HOME": self.world.path("me")}
        mounts = 'mount -t tmpfs none /etc && mkdir /etc/datamesh && cp "$0" /etc/datamesh/config.toml'

        def run(*arguments):
            ended = self.world.run_apart(mounts, machine, *arguments, env=env)
            if ended is None:
                self.skipTest("nobody may mount here")
            return ended

        def setting(key):
            shown = [json.loads(line) for line in run("config", "show", "--json").out.splitlines()]
            return next((item["values"], item.get("where")) for item in shown if item.get("key") == key)

        self.assertEqual(setting("vault"), (["shared"], "/etc/datamesh/config.toml:1"))
        self.assertEqual(run("config", "set", "vault", "mine").code, 0)
        with open(mine, encoding="utf-8") as file:
            self.assertEqual(file.read(), 'vault = "mine"\n')
        self.assertEqual(setting("vault"), (["mine"], mine + ":1"))
        self.assertEqual(setting("quiet"), (["true"], "/etc/datamesh/config.toml:2"))
        self.world.write("machine.toml", "vualt = 'shared'\n")
        self.assertIn("/etc/datamesh/config.toml, line 1: unknown key 'vualt'", run("config", "check").errors)
        self.assertEqual(run("config", "check", "--config", mine).code, 0)

    def test_a_setting_that_no_command_takes_is_not_written_and_not_called_good(self):
        path = self.world.path("config/datamesh/config.toml")
        self.assertIn("'memory': '10M' is too little", self.fails(2, "config", "set", "memory", "10M").errors)
        self.assertFalse(os.path.exists(path))
        self.world.write("config/datamesh/config.toml", "memory = '10M'\n")
        for command in (["config", "check"], ["ls"]):
            self.assertIn("config.toml, line 1: 'memory': '10M' is too little", self.fails(2, *command).errors)
        self.world.write("config/datamesh/config.toml", "vault = 'elsewhere'\n")
        self.assertEqual(self.world.run("init", "--drive", self.world.path("d"), "--trust-device").code, 0)
        self.assertIn("there is no vault 'elsewhere' here (" + self.world.path("config/datamesh/config.toml:1") + " says so)", self.fails(10, "ls").errors)
        self.assertIn("(DATAMESH_VAULT says so)", self.fails(10, "ls", env={"DATAMESH_VAULT": "nowhere"}).errors)

    def test_a_config_file_that_was_named_must_be_there(self):
        self.fails(5, "ls", "--config", self.world.path("nowhere.toml"))

    def test_every_error_code_is_explained_as_documented(self):
        codes = self.world.json("explain").items
        self.assertGreater(len(codes), 40)
        for code in codes:
            one = self.world.json("explain", code["error"].lower()).items
            self.assertEqual(one, [code])
        topic = self.world.run("help", "exit-codes").text
        for code in codes:
            self.assertRegex(topic, rf"(?m)^{code['exit_code']} ", code["error"])
        self.assertIn("did you mean DM-NO-SPACE?", self.fails(5, "explain", "DM-NOSPACE").errors)

    def test_the_completion_of_bash_answers(self):
        script = self.world.run("completion", "bash").text
        self.world.write("completion.bash", script)

        def candidates(*words):
            quoted = " ".join("'" + word + "'" for word in ("datamesh", *words))
            code = (
                f"source completion.bash; compopt() {{ :; }}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; "
                f'COMP_WORDS[0]=\'{self.world.program}\'; _datamesh; printf "%s\\n" "${{COMPREPLY[@]}}"'
            )
            done = subprocess.run(
                ["bash", "--norc", "-c", code], cwd=self.world.folder, env=self.world.variables(None), capture_output=True, text=True, check=False
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout.split()

        self.assertEqual(candidates("pu"), ["put"])
        self.assertEqual(candidates("drive", "ad"), ["add", "adopt"])
        self.assertEqual(candidates("put", "--if-ex"), ["--if-exists"])
        self.assertEqual(candidates("put", "--if-exists", "r"), ["rename"])
        self.assertEqual(candidates("put", "--if-exists", "=", "r"), ["rename"])
        self.assertIn("password", candidates("put", "pass"))
        self.assertEqual(candidates("init", "--drive", "wo"), ["work"])
        self.assertEqual(candidates("explain", "DM-NO-SP"), ["DM-NO-SPACE"])
        self.assertEqual(candidates("nonsense", ""), [])

    def test_the_completion_scripts_of_other_shells_are_sound_where_they_are_installed(self):
        for shell in ("zsh", "fish"):
            path = self.world.write("completion." + shell, self.world.run("completion", shell).out)
            if shutil.which(shell):
                subprocess.run([shell, "-n", path], check=True)

    def test_init_that_can_ask_for_no_password_makes_nothing(self):
        self.fails(2, "init", "--drive", self.world.path("d"), env={"DATAMESH_PASSWORD_FILE": None})
        self.assertFalse(os.path.exists(self.world.path("d")))
        self.assertFalse(os.path.exists(self.world.path("data/datamesh")))
        self.fails(2, "init")

    def test_init_refuses_drives_that_are_not_apart_and_makes_nothing(self):
        os.symlink("d", self.world.path("work/link"))
        self.world.write("work/plain", "")
        home = os.path.relpath(self.world.path("data/datamesh"), self.world.path("work"))
        apart = [["d", "d"], ["d", "./d"], ["d", "d/"], ["d", "link"], ["d/x", "d"], ["d", "d/x/y"]]
        around = [[home], [home + "/d"], ["d", home + "/vaults"], ["../data"], ["/"]]
        for folders in apart + around:
            with self.subTest(folders=folders):
                ended = self.fails(2, "init", *(word for folder in folders for word in ("-d", folder)))
                self.assertIn("DM-INVALID-ARGUMENT", ended.errors)
                self.assertEqual(sorted(os.listdir(self.world.path("work"))), ["link", "plain"])
                self.assertEqual(os.listdir(self.world.path("data")), [])
        self.assertIn("is no folder", self.fails(1, "init", "-d", "d", "-d", "plain").errors)
        self.assertIn("no name for a vault", self.fails(2, "init", "-d", "d", "--name", "a/b").errors)
        os.mkdir(self.world.path("work/d"))
        for second in ("link", "link/x"):
            self.fails(2, "init", "-d", "d", "-d", second)
        self.world.write("work/old/datamesh-drive", "datamesh drive 1\nid 6f1d0c52a7be44f09c0b7d6f0be2a915\n")
        self.assertIn("datamesh drive adopt", self.fails(1, "init", "-d", "d", "-d", "old").errors)
        self.assertEqual(os.listdir(self.world.path("work/d")), [])
        self.assertEqual(os.listdir(self.world.path("data")), [])

    def test_what_is_wrong_with_a_folder_is_told_of_that_folder(self):
        home = self.world.write("work/file", "")
        self.assertIn("--home DIR", self.fails(1, "init", "-d", "d", "--no-password", "--home", home).errors)
        self.assertIn("there is no folder", self.fails(5, "bench", "--size", "1M", "--folder", self.world.path("nowhere")).errors)
        self.assertEqual(self.world.run("init", "-d", "d", "-d", "e", "-d", "f", "--trust-device").code, 0)
        self.assertIn("is a drive of this node", self.fails(1, "drive", "adopt", "d").errors)
        self.assertEqual(self.world.run("put", self.world.write("work/a b", "x")).code, 0)
        self.assertIn("--to FOLDER", self.fails(1, "get", "/a b", "--to", home).errors)
        self.assertIn(" into this folder.\n", self.world.run("get", "/a b", "--as", "c").text)
        self.assertIn("next: datamesh versions '/a b'\n", self.fails(5, "get", "/a b", "--version", "zz").errors)
        self.assertNotIn("datamesh put", self.fails(2, "mkdir", "/x/..").errors)
        self.assertNotIn("rm -r", self.fails(2, "rm", "/").errors)
        self.assertEqual(self.world.run("drive", "remove", "e", "--force", "--yes").code, 0)
        self.assertIn("datamesh drive add DIR", self.world.run("repair").errors)

    def test_advice_without_a_terminal_is_a_whole_command_line(self):
        env = {"DATAMESH_PASSWORD_FILE": None}
        self.assertIn("next: datamesh init --drive d --drive 'e f' --password-file FILE\n", self.fails(2, "init", "-d", "d", "-d", "e f", env=env).errors)
        self.assertEqual(self.world.run("init", "-d", "d").code, 0)
        self.assertIn("next: datamesh vault destroy main --yes --password-file FILE\n", self.fails(2, "vault", "destroy", "main", "--yes", env=env).errors)
        self.assertIn("next: datamesh vault create two --password-file FILE\n", self.fails(2, "vault", "create", "two", env=env).errors)
        self.assertIn("next: datamesh rm --recursive --password-file FILE -- -a b\n", self.fails(2, "rm", "-r", "--", "-a", "b", env=env).errors)
        changed = self.fails(2, "key", "change-password", "-p", self.world.path("password"))
        self.assertRegex(changed.errors, r"next: datamesh key change-password --password-file \S+ --new-password-file FILE\n")

    def test_a_name_that_no_vault_can_have_is_told_as_such(self):
        self.assertEqual(self.world.run("init", "-d", "d", "--trust-device").code, 0)
        for name in ("a/b", "", ".a", "x" * 65):
            refused = self.fails(2, "vault", "create", name)
            self.assertIn("is no name for a vault", refused.errors)
            self.assertNotIn("datamesh put", refused.errors)
        self.fails(10, "vault", "destroy", "a/b", "--yes")

    def test_a_question_without_a_terminal_ends_with_2_and_names_the_flag(self):
        ended = self.fails(2, "cleanup", "--trash-age", "1d")
        self.assertIn("--yes", ended.errors)
        self.assertIn("DM-CONFIRMATION-NEEDED", ended.errors)

    def test_a_reader_that_leaves_ends_the_program_quietly(self):
        program = subprocess.Popen(
            [self.world.program, "explain", "--json"], env=self.world.variables(None), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        # The first line fills no pipe, so the reader has to be gone before it is written.
        os.kill(program.pid, signal.SIGSTOP)
        program.stdout.close()
        os.kill(program.pid, signal.SIGCONT)
        err = program.stderr.read()
        program.stderr.close()
        self.assertIn(program.wait(), (0, -signal.SIGPIPE))
        self.assertEqual(err, b"")


class Presets(unittest.TestCase):
    """Settings of a mesh under a name; no node is needed."""

    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)
        self.config = self.world.path("config", "datamesh", "datameshd.toml")
        os.makedirs(os.path.dirname(self.config), exist_ok=True)

    def good(self, command, *arguments):
        told = self.world.json(command, *arguments)
        self.assertEqual(told.code, 0, told.all)
        return told

    def refused(self, code, error, command, *arguments):
        told = self.world.json(command, *arguments)
        self.assertEqual((told.code, told.failure["error"]), (code, error), told.all)

    def read(self, path=None):
        with open(path or self.config, encoding="utf-8") as file:
            return file.read()

    def test_four_come_with_the_program_and_stay(self):
        told = self.good("preset list")
        self.assertEqual([(one["name"], one["local"], one["lan"]) for one in told.items], [("local", True, True), ("home", False, False), ("public", False, False), ("test", True, False)])
        self.assertTrue(all(one["built_in"] and "network" not in one for one in told.items))
        self.assertEqual(self.good("preset show", "public").summary["needs_seeds"], True)
        shown = self.world.run("preset", "show", "local")
        self.assertEqual((shown.code, shown.text), (0, 'mesh_listen = ["0.0.0.0:7000"]\nmesh_local = true\nmesh_lan = true\n'))
        self.refused(2, "DM-INVALID-ARGUMENT", "preset remove", "local")
        self.world.write("config/datamesh/datameshd.toml", "mesh_local = true\n")
        self.refused(1, "DM-ALREADY-EXISTS", "preset save", "test", "--force")

    def test_a_preset_that_is_used_takes_the_place_of_the_settings_of_the_mesh_alone(self):
        self.world.write("config/datamesh/datameshd.toml", '# mine\nscrub = false\n')
        tried = self.good("preset use", "test", "--dry-run").summary
        self.assertEqual((tried["dry_run"], tried["file"], self.read()), (True, self.config, "# mine\nscrub = false\n"))
        made = self.good("preset use", "test").summary["network"]
        self.assertRegex(made, "^[0-9a-f]{64}$")
        lines = f'# mine\nscrub = false\nmesh_network = "{made}"\nmesh_listen = ["127.0.0.1:7000"]\nmesh_local = true\nmesh_lan = false\n'
        self.assertEqual(self.read(), lines)
        self.refused(1, "DM-ALREADY-EXISTS", "preset use", "local")
        self.assertEqual(self.read(), lines)
        # The mesh stays.
        self.assertEqual(self.good("preset use", "local", "--force", "--listen", "192.168.1.7:7000").summary["network"], made)
        self.assertIn('mesh_listen = ["192.168.1.7:7000"]\nmesh_local = true\nmesh_lan = true\n', self.read())
        self.assertEqual(self.read().count("mesh_network"), 1)

    def test_a_new_file_of_settings_is_for_its_owner_alone(self):
        self.good("preset use", "local", "--to", "house.toml")
        self.assertEqual(os.stat(self.world.path("work", "house.toml")).st_mode & 0o777, 0o600)

    def test_a_list_of_members_stays_with_its_mesh(self):
        self.world.write("config/datamesh/datameshd.toml", f'mesh_network = "{"1a" * 32}"\nmesh_members = "/etc/members"\nmesh_local = true\n')
        self.assertEqual(self.good("preset use", "local", "--force").summary["members_file"], "/etc/members")
        self.world.write("work/other.toml", f'mesh_network = "{"2b" * 32}"\nmesh_local = true\n')
        self.good("preset save", "other", "--from", "other.toml")
        told = self.good("preset use", "other", "--force").summary
        self.assertEqual((told["network"], told.get("members_file")), ("2b" * 32, None))

    def test_public_wants_a_seed_and_an_address(self):
        announce = ("--announce", "9.9.9.9:7000")
        self.refused(2, "DM-USAGE", "preset use", "public", *announce)
        self.refused(2, "DM-USAGE", "preset use", "public", "--seed", "mesh.example:7000")
        self.assertFalse(os.path.exists(self.config))
        self.assertEqual(self.good("preset use", "public", "--first", *announce).summary["seeds"], [])
        told = self.good("preset use", "public", "--force", "--seed", "mesh.example:7000", *announce).summary
        self.assertEqual((told["seeds"], told["local"], told["lan"]), (["mesh.example:7000"], False, False))
        # Seeds that are there will do.
        self.assertEqual(self.good("preset use", "public", "--force", *announce).summary["seeds"], ["mesh.example:7000"])

    def test_a_node_at_home_has_its_router_asked_and_needs_no_address(self):
        self.refused(2, "DM-USAGE", "preset use", "home")
        told = self.good("preset use", "home", "--seed", "mesh.example:7000").summary
        self.assertEqual((told["map_port"], told["announce"], told["local"]), (True, [], False))
        lines = 'mesh_listen = ["0.0.0.0:7000"]\nmesh_seeds = ["mesh.example:7000"]\nmesh_local = false\nmesh_lan = false\nmesh_map_port = true\n'
        self.assertIn(lines, self.read())
        self.good("preset save", "cabin")
        self.assertEqual(self.good("preset show", "cabin").summary["map_port"], True)
        self.assertNotIn("mesh_map_port", self.world.run("preset", "show", "public").text)

    def test_settings_are_saved_shown_used_and_removed(self):
        self.refused(5, "DM-NOT-FOUND", "preset save", "house")
        text = f'mesh_network = "{"3c" * 32}"\nmesh_listen = ["192.168.1.7:7000"]\nmesh_seeds = ["192.168.1.8:7000"]\nmesh_local = true\n'
        self.world.write("config/datamesh/datameshd.toml", "scrub = false\n" + text)
        self.good("preset save", "house", "--dry-run")
        self.assertEqual([one["name"] for one in self.good("preset list").items], ["local", "home", "public", "test"])
        self.good("preset save", "house")
        saved = self.world.path("config", "datamesh", "presets", "house.toml")
        self.assertEqual((self.read(saved), os.stat(saved).st_mode & 0o777), (text, 0o600))
        self.refused(1, "DM-ALREADY-EXISTS", "preset save", "house")
        self.good("preset save", "house", "--force")
        self.assertEqual(self.world.run("preset", "show", "house").text, text)
        self.assertEqual([one["name"] for one in self.good("preset list").items][4:], ["house"])
        self.good("preset use", "test", "--force")
        self.good("preset use", "house", "--force")
        self.assertEqual(self.read(), "scrub = false\n" + text)
        self.good("preset remove", "house", "--dry-run")
        self.good("preset remove", "house")
        self.refused(5, "DM-NOT-FOUND", "preset remove", "house")
        self.refused(5, "DM-NOT-FOUND", "preset show", "house")

    def test_names_and_files_that_are_none_are_refused(self):
        self.world.write("config/datamesh/datameshd.toml", "mesh_local = true\n")
        for name in ("../x", ".x", "a/b", "", "x" * 65, "a b"):
            with self.subTest(name):
                self.assertEqual(self.world.json("preset save", name).failure["error"], "DM-NAME-INVALID")
        for text in ("mesh_local = 1\n", "mesh_listen = [1]\n", "mesh_none = true\n", "mesh_local = \n"):
            with self.subTest(text):
                self.world.write("config/datamesh/datameshd.toml", text)
                self.assertEqual(self.world.json("preset save", "x").failure["error"], "DM-CONFIG-INVALID")
                self.world.write("config/datamesh/presets/y.toml", text)
                self.assertEqual(self.world.json("preset use", "y").failure["error"], "DM-CONFIG-INVALID")


class StandardStreams(unittest.TestCase):
    """Streams that are closed, full or given up."""

    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)
        # Of a single drive it would warn, too.
        self.init = ["init", "--trust-device", "--drive", self.world.path("d"), "--drive", self.world.path("e")]

    def run_with(self, *arguments, closed=None, stdout=subprocess.PIPE):
        with open(stdout, "wb") if isinstance(stdout, str) else contextlib.nullcontext(stdout) as out:
            done = subprocess.run(
                [self.world.program, *arguments],
                env=self.world.environment,
                cwd=self.world.path("work"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=None if closed is None else lambda: os.close(closed),
                timeout=240,
                check=False,
            )
        return Ended(arguments, done.returncode, done.stdout or b"", done.stderr or b"")

    def told(self, ended, code):
        """One error of three lines that is about standard output."""
        lines = ended.errors.splitlines()
        self.assertEqual((ended.code, len(lines)), (code, 3), str(ended))
        self.assertIn("write standard output", lines[0])
        self.assertNotIn("drive", lines[2])
        return ended

    def everything_below_the_home(self):
        content = b""
        for top, _, names in os.walk(self.world.path("data")):
            for name in names:
                with open(os.path.join(top, name), "rb") as file:
                    content += file.read()
        return content

    def test_what_is_due_on_a_closed_stream_goes_into_no_file(self):
        for closed in (0, 1, 2):
            with self.subTest(closed=closed):
                self.setUp()
                made = self.run_with(*self.init, closed=closed)
                self.assertEqual(made.code == 0, closed != 1, str(made))
                for words in (b"Recovery phrase", b"Made vault", b"warning", b"error:"):
                    self.assertNotIn(words, self.everything_below_the_home())
                secret = b"plain text that nobody else may see"
                self.world.write("work/f", secret)
                put = self.run_with("put", "f", closed=closed)
                self.assertEqual(put.code == 0, closed != 1, str(put))
                for command in (["get", "/f", "--to", "-"], ["cat", "/f"], ["cat", "/f", "--json"], ["cat", "/nothing"]):
                    ended = self.run_with(*command, closed=closed)
                    good = closed != 1 and command[-1] != "/nothing"
                    self.assertEqual(ended.code == 0, good, str(ended))
                    self.assertNotIn(secret, self.everything_below_the_home())
                if closed == 0:
                    for command in (["put", "-", "--as", "x y"], ["put", "--stdin", "--as", "x y"]):
                        refused = self.run_with(*command, closed=0)
                        self.assertEqual((refused.code, len(refused.errors.splitlines())), (2, 3), str(refused))
                        self.assertIn("error: there is no way to read standard input: it is closed\n", refused.errors)
                        self.assertIn("next: COMMAND | datamesh put - --as 'x y', or: datamesh put - --as 'x y' < FILE\n", refused.errors)
                if closed == 1:
                    self.told(self.run_with("ls", closed=1), 1)

    def test_a_folder_on_standard_input_is_told_as_such(self):
        self.assertEqual(self.world.run(*self.init).code, 0)
        folder = os.open(self.world.path("work"), os.O_RDONLY)
        self.addCleanup(os.close, folder)
        done = subprocess.run(
            [self.world.program, "put", "-", "--as", "x"], env=self.world.environment, stdin=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
        )
        self.assertEqual((done.returncode, done.stdout), (2, b""), done.stderr)
        self.assertIn(b"it is a folder", done.stderr)
        self.assertIn(b"next: datamesh put FOLDER", done.stderr)

    def test_no_command_calls_it_good_when_its_output_was_not_written(self):
        made = self.world.run(*self.init)
        self.assertEqual(made.code, 0, str(made))
        self.world.write("work/f", "x")
        for command in ("put f", "ls", "ls --json", "ls --long", "ls --trash --json", "stats", "stats --json", "status", "info /f", "cat /f", "cat /f --json",
                        "get /f --to -", "drive list", "topology", "topology --dot", "topology --without " + self.world.path("d") + " --json", "distribution", "drive label " + self.world.path("d") + " zone=x", "node status", "node allow " + "5a" * 32 + " 1G", "peers", "vault list", "key list", "verify", "config show", "version", "help", "help put", "put --help",
                        "completion bash", "explain", "explain --json", "__complete pu", "nonsense --json"):
            with self.subTest(command=command):
                self.told(self.run_with(*command.split(), stdout="/dev/full"), 8)

    def test_a_phrase_that_nobody_saw_is_told_and_taken_back(self):
        made = self.run_with(*self.init, stdout="/dev/full")
        self.told(made, 8)
        self.assertIn("phrase was not shown", made.errors)
        self.assertIn("datamesh key recovery", made.errors)
        before = self.world.json("key list").items
        self.assertEqual(sorted(i["kind"] for i in before), ["device", "password", "recovery-phrase"])
        for more in ([], ["--json"]):
            again = self.told(self.run_with("key", "recovery", *more, stdout="/dev/full"), 8)
            self.assertIn("phrase was not shown and holds no more", again.errors)
            self.assertEqual(self.world.json("key list").items, before)
        phrase = self.world.json("key recovery").summary["recovery_phrase"]
        self.assertEqual(self.world.json("ls", "--phrase-file", self.world.write("phrase", phrase)).code, 0)

    def test_a_phrase_that_a_reader_did_not_wait_for_is_taken_back(self):
        self.assertEqual(self.world.run(*self.init).code, 0)
        before = self.world.json("key list").items
        reader, writer = os.pipe()
        os.close(reader)
        ended = self.run_with("key", "recovery", stdout=writer)
        os.close(writer)
        self.assertEqual(ended.code, -signal.SIGPIPE, str(ended))
        self.assertIn("phrase was not shown", ended.errors)
        self.assertEqual(self.world.json("key list").items, before)


class Serving(unittest.TestCase):
    """A node that keeps shards for others."""

    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)

    def good(self, command, *arguments):
        lines = self.world.json(command, *arguments)
        self.assertEqual(lines.code, 0, lines.all)
        return lines

    def fails(self, code, command, *arguments):
        lines = self.world.json(command, *arguments)
        self.assertEqual(lines.code, code, lines.all)
        return lines.failure

    def test_a_node_is_made_that_sets_room_aside_and_grants_no_more(self):
        folders = [self.world.path("d0"), self.world.path("d1")]
        made = self.good("node init", "--folder", folders[0], "--capacity", "10M")
        self.assertEqual((made.summary["drives"], made.summary["reserved"]), (1, 10 << 20))
        self.assertEqual([d["folder"] for d in made.items], folders[:1])
        self.assertEqual(self.good("vault list").summary["vaults"], 0)
        self.good("node allow", "5a" * 32, "8M")
        refused = self.fails(6, "node allow", "5b" * 32, "3M")
        self.assertEqual(refused["error"], "DM-CAPACITY-EXCEEDED")
        self.assertIn("datamesh node init --capacity", refused["suggestion"])
        told = self.good("node status").summary
        self.assertEqual([told[k] for k in ("reserved", "granted", "used")], [10 << 20, 8 << 20, 0])
        # Where this file system can not hold it, it is short by that.
        self.assertEqual(told["held"] + told["lacking"], 10 << 20)
        self.assertGreaterEqual(sum(d.get("held", 0) for d in self.good("drive list").items), told["held"])
        self.assertIn("Reserved", self.world.run("node", "status").text)
        # Said anew: what is there stays, and it is not below what is granted.
        self.assertIn("node allow OWNER SIZE", self.fails(1, "node init", "--capacity", "7M")["suggestion"])
        again = self.good("node init", "--folder", folders[0], "--folder", folders[1], "--capacity", "11M")
        self.assertEqual((again.summary["drives"], again.summary["reserved"]), (2, 11 << 20))
        self.good("node allow", "5b" * 32, "3M")
        self.assertEqual(self.good("node init").summary["reserved"], 11 << 20)
        self.assertEqual(self.good("node init", "--capacity", "0").summary["reserved"], 0)
        self.assertNotIn("reserved", self.good("node status").summary)
        self.assertFalse(any(os.path.exists(os.path.join(folder, "guests", "ballast")) for folder in folders))
        self.assertNotIn("Reserved", self.world.run("node", "status").text)

    def test_more_than_there_is_and_a_node_without_a_drive_are_refused(self):
        self.assertIn("--folder DIR", self.fails(2, "node init", "--capacity", "1G")["suggestion"])
        self.assertFalse(os.path.exists(self.world.path("data/datamesh")))
        refused = self.fails(8, "node init", "--folder", self.world.path("d"), "--capacity", "16777215T")
        self.assertEqual(refused["error"], "DM-NO-SPACE")
        self.assertIn("smaller --capacity", refused["suggestion"])
        self.assertEqual(self.good("node init").summary["reserved"], 0)
        self.fails(2, "node init", "--capacity", "lots")

    def test_the_daemon_is_looked_for_and_named(self):
        self.assertIn("datamesh node init", self.fails(10, "node start", "--dry-run")["suggestion"])
        self.good("node init", "--folder", self.world.path("d"))
        self.world.environment["PATH"] = self.world.path("bin") + ":" + self.world.environment["PATH"]
        beside = os.path.join(os.path.dirname(PROGRAM), "datameshd")
        if not os.path.exists(beside):
            refused = self.fails(5, "node start", "--dry-run")
            self.assertIn("install", refused["suggestion"])
        daemon = self.world.write("bin/datameshd", "#!/bin/sh\necho \"$DATAMESH_HOME $*\" >&2\nexit 3\n")
        os.chmod(daemon, 0o755)
        told = self.good("node start", "--dry-run").summary
        self.assertEqual((told["dry_run"], told["home"]), (True, self.world.path("data/datamesh")))
        if os.path.exists(beside):
            return
        self.assertEqual(told["program"], daemon)
        ran = self.world.run("node", "start", "--from", "one.toml")
        self.assertEqual(ran.code, 3)
        self.assertIn(self.world.path("data/datamesh") + " --config " + self.world.path("work/one.toml"), ran.errors)


class Topology(unittest.TestCase):
    """Where drives and data are, and what a loss does."""

    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)
        self.drives = [self.world.path(name) for name in ("d0", "d1", "d2", "d3", "d4", "d 5", 'd"6\\n')]
        self.good("init", "--trust-device", *(word for d in self.drives for word in ("--drive", d)))

    def good(self, command, *arguments, **more):
        lines = self.world.json(command, *arguments, **more)
        self.assertEqual(lines.code, 0, lines.all)
        return lines

    def fails(self, code, command, *arguments):
        lines = self.world.json(command, *arguments)
        self.assertEqual(lines.code, code, lines.all)
        return lines.failure

    def label(self):
        """Two drives in the first of six zones, of two regions."""
        for number, drive in enumerate(self.drives):
            zone = max(number - 1, 0)
            self.good("drive label", drive, f"zone=house-{zone}", f"region={'eu' if zone < 3 else 'us'}")

    def put(self, name, size=300_000, *options):
        self.good("put", self.world.write("work/" + name, os.urandom(size)), *options)

    def text(self, *arguments):
        ended = self.world.run(*arguments)
        self.assertEqual(ended.code, 0, str(ended))
        return ended.text

    def test_labels_are_set_shown_and_taken_away(self):
        self.assertNotIn("LABELS", self.text("drive", "list"))
        told = self.good("drive label", self.drives[5], "zone=house-1", "operator=ann").summary
        self.assertEqual([told[k] for k in ("folder", "zone", "operator", "dry_run")], [self.drives[5], "house-1", "ann", False])
        self.assertNotIn("region", told)
        self.good("drive label", self.drives[5], "zone=house-2", "--dry-run")
        of = lambda: {d["folder"]: d for d in self.good("drive list").items}[self.drives[5]]
        self.assertEqual([of()[k] for k in ("zone", "operator")], ["house-1", "ann"])
        self.assertIn("zone=house-1 operator=ann", self.text("drive", "list"))
        self.good("drive label", of()["id"][:8], "zone=", "operator=", "region=eu")
        self.assertEqual({k: v for k, v in of().items() if k in ("region", "zone", "operator")}, {"region": "eu"})
        self.assertIn("Labelled", self.text("drive", "label", self.drives[0], "zone=a"))

    def test_a_label_that_can_not_be_is_refused_with_what_one_is(self):
        for code, words in ((2, ["zone"]), (2, ["rack=a"]), (2, ["zone=a", "zone=b"]), (2, []), (2, ["zone=a b"]), (2, ["zone=" + "z" * 65]), (2, ["operator=-a"])):
            with self.subTest(words=words):
                self.fails(code, "drive label", self.drives[0], *words)
        self.assertIn("letter or digit", self.fails(2, "drive label", self.drives[0], "region=\u00e4")["suggestion"])
        self.fails(5, "drive label", self.world.path("nowhere"), "zone=a")
        self.assertFalse(any("zone" in d for d in self.good("drive list").items))

    def test_a_file_of_labels_that_is_damaged_is_named(self):
        self.label()
        with open(self.world.path("data/datamesh/labels"), "a") as labels:
            labels.write("drive\n")
        self.assertIn("labels", self.fails(1, "drive list")["message"])
        os.remove(self.world.path("data/datamesh/labels"))
        self.assertEqual(len(self.good("drive list").items), 7)

    def test_a_rule_is_shown_set_as_a_whole_and_taken_away(self):
        rule = lambda *words: self.good("drive rule", *words)
        self.assertIn("no rule", self.text("drive", "rule"))
        none = rule().summary
        self.assertEqual([none[k] for k in ("only", "never", "drives", "drives_outside", "shards_outside")], [[], [], 7, 0, 0])
        self.label()
        tried = rule("--only", "region=eu", "--dry-run")
        self.assertEqual((tried.summary["dry_run"], tried.summary["drives_outside"]), (True, 3))
        self.assertEqual({d["folder"] for d in tried.items}, set(self.drives[4:]))
        self.assertTrue(all(d["outside_rule"] and d["region"] == "us" for d in tried.items))
        self.assertEqual(rule().summary["only"], [])
        rule("--only", "region=eu", "--only", "region=ch", "--never", "operator=bob")
        told = rule().summary
        self.assertEqual((told["only"], told["never"]), (["region=eu", "region=ch"], ["operator=bob"]))
        self.assertIn("only region=eu, only region=ch, never operator=bob", self.text("drive", "rule"))
        rule("--never", "region=eu")
        told = rule().summary
        self.assertEqual((told["only"], told["never"], told["drives_outside"]), ([], ["region=eu"], 4))
        self.assertIn("outside the rule", self.text("drive", "list"))
        self.assertEqual(sum("outside_rule" in d for d in self.good("drive list").items), 4)
        rule("--clear")
        self.assertEqual(rule().summary, none)
        self.assertNotIn("outside the rule", self.text("drive", "list"))

    def test_a_rule_that_can_not_be_is_refused_and_the_one_before_stays(self):
        self.good("drive rule", "--never", "region=us")
        for words in (["region"], ["rack=a"], ["zone=a b"], ["zone="], ["zone=" + "z" * 65]):
            for option in ("--only", "--never"):
                with self.subTest(words=words, option=option):
                    self.fails(2, "drive rule", option, *words)
        self.fails(2, "drive rule", "--clear", "--only", "region=eu")
        self.fails(2, "drive rule", "--only", "region=eu", "--only", "region=eu")
        self.assertIn("letter or digit", self.fails(2, "drive rule", "--only", "region=-a")["suggestion"])
        self.assertEqual(self.good("drive rule").summary["never"], ["region=us"])

    def test_a_file_of_a_rule_that_is_damaged_is_named(self):
        with open(self.world.path("data/datamesh/rule"), "w") as rule:
            rule.write("datamesh rule 1\nonly\n")
        self.assertIn("rule", self.fails(1, "drive list")["message"])
        os.remove(self.world.path("data/datamesh/rule"))
        self.assertEqual(len(self.good("drive list").items), 7)

    def test_a_put_that_can_not_keep_the_rule_is_refused_with_what_to_do(self):
        self.label()
        self.good("drive rule", "--only", "region=eu")
        self.put("f")
        file = self.world.write("work/g", os.urandom(1000))
        refused = self.fails(1, "put", file, "--policy", "4+2")
        self.assertEqual(refused["error"], "DM-RULE-LEAVES-TOO-FEW")
        self.assertIn("only region=eu", refused["message"])
        self.assertIn(self.drives[4], refused["message"])
        self.assertNotIn(self.drives[0], refused["message"])
        self.assertIn("datamesh drive rule", refused["suggestion"])
        self.assertEqual([e["path"] for e in self.good("ls").items], ["/f"])
        self.put("g", 1000, "--policy", "2+2")

    def test_what_lies_outside_of_a_rule_is_told_and_moved(self):
        self.put("f")
        self.label()
        self.good("drive rule", "--only", "region=us", "--only", "region=eu")
        self.assertEqual(self.good("status").summary["shards_outside"], 0)
        # One drive: of any pack the rest has room for its shard.
        used = max(self.good("drive list").items, key=lambda d: d["shards"])
        self.good("drive label", used["id"], "region=ch")
        outside = used["shards"]
        self.assertEqual(self.good("status").summary["shards_outside"], outside)
        self.assertEqual(self.good("distribution").summary["shards_outside"], outside)
        self.assertEqual(self.good("drive rule").summary["shards_outside"], outside)
        for words in (["status"], ["distribution"], ["drive", "rule"]):
            self.assertIn("datamesh rebalance", self.text(*words))
        self.assertEqual(self.good("rebalance").summary["shards_left"], 0)
        self.assertEqual(self.good("status").summary["shards_outside"], 0)
        self.assertEqual(self.good("drive rule").summary["shards_outside"], 0)
        self.assertNotIn("datamesh rebalance", self.text("status"))
        self.good("verify", "--deep")

    def test_a_rule_is_said_as_the_document_shows(self):
        self.label()
        with open(os.path.join(DOCS, "mesh.md"), encoding="utf-8") as file:
            shown = re.findall(r"^    datamesh (drive rule.*)$", file.read(), re.MULTILINE)
        self.assertEqual(len(shown), 4)
        for line in shown:
            self.text(*line.split())
        self.assertEqual(self.good("drive rule").summary["only"], [])

    def test_the_tree_has_the_levels_that_anything_is_labelled_with(self):
        bare = self.text("topology")
        self.assertIn("this node", bare)
        self.assertNotIn("zone", bare)
        self.label()
        self.put("f")
        lines = self.text("topology").splitlines()
        self.assertEqual([line.split("  ")[0] for line in lines if line and not line.startswith(" ")], ["PLACE", "region eu", "region us"])
        place = lambda line: len(line) - len(line.lstrip())
        at = [i for i, line in enumerate(lines) if line.strip().startswith("zone house-0")]
        self.assertEqual([place(line) for line in lines[at[0]:at[0] + 4]], [2, 4, 6, 6])
        self.assertIn(self.drives[0], lines[at[0] + 2])
        told = self.good("topology")
        self.assertEqual(told.summary["drives"], 7)
        self.assertEqual(told.summary["nodes"], 1)
        self.assertEqual(told.summary["shards"], sum(d["shards"] for d in told.items))
        self.assertEqual({(d["region"], d["zone"], d["node"]) for d in told.items},
                         {("eu" if z < 3 else "us", f"house-{z}", "this node") for z in range(6)})

    def test_the_drawing_holds_whatever_a_folder_is_called(self):
        self.label()
        drawn = self.text("topology", "--dot")
        self.assertTrue(drawn.startswith("digraph datamesh {\n") and drawn.endswith("}\n"), drawn)
        # The root, two regions, six zones with this node in each, seven drives: a tree.
        self.assertEqual(drawn.count("[label="), 1 + 2 + 6 + 6 + 7)
        self.assertEqual(drawn.count(" -> "), 21)
        self.assertIn('d\\"6', drawn)
        for line in drawn.splitlines():
            # Without what is escaped each line has no quotes, or those around a label.
            self.assertIn(re.sub(r"\\.", "", line).count('"'), (0, 2), line)
        told = self.good("topology", "--dot")
        # Others use the disk, too.
        self.assertEqual(*(re.sub(r"[0-9.]+ [KMGT]iB", "", text) for text in (told.items[0]["text"], drawn)))
        self.assertEqual(self.fails(2, "topology", "--dot", "--without", self.drives[0])["exit_code"], 2)

    def test_what_a_loss_is_said_to_do_is_what_it_does(self):
        self.label()
        for number, policy in enumerate(("4+2", "2+1", "1+1", "4+2")):
            self.put(f"f{number}", 300_000 + number, "--policy", policy)
        zone = self.good("topology", "--without", "zone=house-0").summary
        self.assertEqual([zone["drives"], zone["then"]["lost"]], [2, 0])
        same = self.good("topology", "--without", self.drives[0], "--without", self.drives[1], "--without", "zone=eu/house-0").summary
        self.assertEqual(same, zone)
        self.assertEqual(self.good("topology", "--without", "node:this").summary["then"]["lost"], zone["packs"])
        self.assertEqual(self.good("topology", "--without", "region=us").summary["drives"], 3)
        said = self.good("topology", "--without", self.drives[0], "--without", "zone=house-3", "--without", "zone=house-4").summary
        self.assertEqual(said["now"], {"full": said["packs"], "below_full": 0, "at_margin": 0, "lost": 0})
        shown = self.text("topology", "--without", self.drives[0], "--without", "zone=house-3", "--without", "zone=house-4")
        self.assertIn("would be lost" if said["then"]["lost"] else "nothing would be lost", shown)
        for drive in (self.drives[0], self.drives[4], self.drives[5]):
            self.good("drive remove", drive, "--force", "--yes")
        status = self.world.json("status").summary
        self.assertEqual([status[k] for k in ("packs", "packs_lost", "packs_degraded")], [said["packs"], said["then"]["lost"], said["then"]["below_full"]])
        repaired = self.world.json("repair").summary
        self.assertEqual([repaired["packs_lost"], repaired["shards_repaired"], repaired["shards_unplaced"]],
                         [said["then"]["lost"], said["shards_to_repair"] - said["shards_unplaced"], said["shards_unplaced"]])

    def test_what_is_none_of_the_drives_is_told(self):
        self.put("f")
        self.fails(5, "topology", "--without", "zone=house-0")
        self.fails(5, "topology", "--without", self.world.path("nowhere"))
        self.fails(5, "topology", "--without", "node:" + "5a" * 32)
        self.fails(5, "topology", "--without", "zone=")

    def test_a_rebalance_brings_data_apart_once_drives_are_labelled(self):
        for number in range(4):
            self.put(f"f{number}", 300_000, "--policy", "4+2")
        self.label()
        shares = lambda: {s["name"]: s for s in self.good("distribution").items if s["level"] == "zone"}
        crowd = shares()["eu/house-0"]
        foreseen = self.good("rebalance", "--dry-run").summary["shards_moved"]
        moved = self.good("rebalance").summary["shards_moved"]
        self.assertEqual([foreseen, moved], [crowd["shards"] - crowd["packs"]] * 2)
        self.assertEqual({(s["shards"], s["packs_needed"]) for s in shares().values()}, {(shares()["us/house-3"]["packs"], 0)})
        self.assertEqual(self.good("distribution").summary["margin_zones"], 2)

    def test_where_files_are_is_told_by_path_and_tag(self):
        self.label()
        self.put("f", 300_000)
        self.put("g", 300_001)
        self.good("tag", "/g", "kind=tax")
        one = self.good("distribution", "/f")
        self.assertEqual([one.summary[k] for k in ("files", "margin", "shards_bad")], [1, 2, 0])
        self.assertEqual(sum(s["shards"] for s in one.items if s["level"] == "drive"), one.summary["shards"])
        self.assertEqual(self.good("distribution", "/*").summary["files"], 2)
        self.assertEqual(self.good("distribution", "--tag", "kind=tax").summary["files"], 1)
        self.assertEqual(self.good("distribution", "--tag", "kind=photo").summary["files"], 0)
        self.fails(2, "distribution", "--tag", "=tax")
        self.fails(5, "distribution", "/nowhere")
        shown = self.text("distribution", "/f")
        self.assertIn("1 file in ", shown)
        self.assertIn("2 zones", shown)
        self.assertIn("eu/house-1", shown)
        self.assertNotIn("operator", shown)

    def test_a_drive_that_replaces_another_is_where_that_was(self):
        self.label()
        self.put("f")
        self.good("drive replace", self.drives[2], self.world.path("new"))
        of = {d["folder"]: d for d in self.good("drive list").items}
        self.assertEqual([of[self.world.path("new")][k] for k in ("region", "zone")], ["eu", "house-1"])
        self.assertNotIn(self.drives[2], of)


class Advice(unittest.TestCase):
    """What an error says to run next, run."""

    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)
        self.drives = [self.world.path(f"d{i}") for i in range(3)]
        self.home = self.world.path("data/datamesh")
        self.good("init", "--trust-device", *(word for d in self.drives for word in ("--drive", d)))

    def good(self, command, *arguments, **more):
        lines = self.world.json(command, *arguments, **more)
        self.assertEqual(lines.code, 0, lines.all)
        return lines

    def fails(self, code, command, *arguments, **more):
        lines = self.world.json(command, *arguments, **more)
        self.assertEqual(lines.code, code, lines.all)
        return lines.failure["suggestion"]

    def put(self, *options):
        self.good("put", self.world.write("work/f", os.urandom(300_000)), *options)

    def on_read_only(self, folder, code, *arguments):
        ended = self.world.run_read_only(folder, *arguments)
        if ended is None:
            self.skipTest("nobody may mount here")
        self.assertEqual(ended.code, code, str(ended))
        return ended.errors.splitlines()[-1]

    def test_what_is_no_drive_is_not_adopted(self):
        os.mkdir(self.world.path("empty"))
        for name in ("nowhere", "empty"):
            told = self.fails(8 if name == "nowhere" else 1, "drive adopt", self.world.path(name))
            self.assertIn("it holds a file 'datamesh-drive'", told)
            self.assertIn("datamesh drive add DIR", told)

    def test_a_rebalance_without_room_asks_for_a_drive(self):
        self.put()
        self.good("drive drain", self.drives[0])
        self.assertIn("datamesh drive add DIR && datamesh rebalance", self.fails(3, "rebalance"))
        self.good("drive add", self.world.path("d3"))
        self.good("rebalance")
        self.good("drive remove", self.drives[0])

    def test_a_dry_rebalance_moves_no_more_than_the_real_one(self):
        self.put()
        self.good("drive drain", self.drives[0])
        tried = self.world.json("rebalance", "--dry-run")
        real = self.world.json("rebalance")
        told = [(e.code, e.summary["shards_moved"], e.summary["shards_left"]) for e in (tried, real)]
        self.assertEqual(told, [(3, 0, told[1][2])] * 2)
        self.assertGreater(told[1][2], 0)
        self.good("drive add", self.world.path("d3"))
        tried, real = (self.good("rebalance", *option).summary for option in (["--dry-run"], []))
        self.assertGreater(tried["shards_moved"], 0)
        self.assertEqual([tried[x] for x in ("shards_moved", "bytes_moved", "shards_left")], [real[x] for x in ("shards_moved", "bytes_moved", "shards_left")])

    def test_a_drive_that_is_draining_gets_new_data_again_when_it_is_added(self):
        os.rename(self.drives[0], self.world.path("my drive"))
        self.good("drive adopt", self.world.path("my drive"))
        drained = self.world.run("drive", "drain", self.world.path("my drive"))
        self.assertIn(f"datamesh drive add '{self.world.path('my drive')}'", drained.errors)
        self.assertIn("datamesh drive add", self.fails(1, "drive adopt", self.world.path("my drive")))
        states = lambda: sorted(drive["state"] for drive in self.good("drive list").items)
        self.assertEqual(states(), ["draining", "ok", "ok"])
        os.symlink(self.world.path("my drive"), self.world.path("link"))
        self.assertEqual([d["state"] for d in self.good("drive add", self.world.path("link")).items], ["ok"])
        self.assertEqual(states(), ["ok"] * 3)
        self.put("--policy", "2+1")
        self.assertEqual(self.good("status").summary["answer"], "safe")
        self.assertEqual([drive["shards"] > 0 for drive in self.good("drive list").items], [True] * 3)
        # One that is in service is no new drive.
        self.fails(1, "drive add", self.world.path("my drive"))

    def test_a_copy_of_the_key_that_can_not_be_written_is_told_of_the_path(self):
        folder = self.world.path("my folder")
        os.mkdir(folder)
        for option in ([], ["--force"]):
            self.assertEqual(self.fails(1, "key export", folder, *option), f"datamesh key export '{folder}/main.key'")
        self.assertEqual(os.listdir(folder), [])
        self.assertEqual(self.fails(5, "key export", folder + "/no/k"), f"mkdir -p '{folder}/no', then the same again")
        self.good("key export", folder + "/main.key")

    def test_a_vault_without_a_password_is_restored_by_the_device_key_or_the_phrase(self):
        no_password = {"DATAMESH_PASSWORD_FILE": None}
        phrase = self.good("vault create", "two", "--no-password", env=no_password).summary["recovery_phrase"]
        self.good("put", self.world.write("work/f", "x"), "--vault", "two", env=no_password)
        copy = self.world.path("two key")
        self.good("key export", copy, "--vault", "two", env=no_password)
        self.good("vault destroy", "two", "--key-only", "--yes")
        self.good("vault restore", copy, "--name", "two", env=no_password)
        self.good("info", "/f", "--vault", "two", env=no_password)
        shutil.rmtree(self.home)
        drives = [word for d in self.drives for word in ("--drive", d)]
        told = self.fails(2, "vault restore", copy, *drives, env=no_password)
        self.assertIn(f"by its recovery phrase: datamesh vault restore '{copy}' --drive", told)
        self.assertTrue(told.endswith("--phrase-file FILE"), told)
        # Another machine's device key opens nothing, and the advice is the same.
        self.good("init", "--drive", self.world.path("d7"), "--name", "other", "--no-password", env=no_password)
        self.assertEqual(self.fails(2, "vault restore", copy, *drives, env=no_password), told)
        words = self.world.write("phrase", phrase + "\n")
        os.chmod(words, 0o600)
        self.good("vault restore", copy, *drives, "--phrase-file", words, env=no_password)
        self.good("info", "/f", "--vault", "main", "--phrase-file", words, env=no_password)

    def test_shards_that_wait_for_a_drive_name_it_as_a_shell_takes_it(self):
        self.good("drive add", self.world.path("my drive"), self.world.path("d4"))
        self.put("--policy", "2+3")
        shutil.rmtree(self.drives[0])
        shutil.rmtree(self.world.path("my drive"))
        replaced = self.world.run("drive", "replace", self.drives[0], self.world.path("d9"))
        self.assertEqual(replaced.code, 0, str(replaced))
        self.assertIn(f"datamesh drive replace '{self.world.path('my drive')}' DIR", replaced.errors)

    def test_a_rebuild_that_can_not_read_all_does_not_call_the_data_safe(self):
        self.put("--policy", "2+1")
        self.good("drive add", *(self.world.path(f"d{i}") for i in range(3, 6)))
        for folder, _, files in [entry for d in self.drives[:2] for entry in os.walk(d + "/shards")]:
            for name in files:
                os.remove(os.path.join(folder, name))
        os.remove(self.home + "/vaults/main/catalog") if os.path.isfile(self.home + "/vaults/main/catalog") else shutil.rmtree(self.home + "/vaults/main/catalog")
        told = self.world.json("rebuild")
        self.assertEqual((told.code, told.failure["error"]), (3, "DM-PARTIAL-FAILURE"), told.all)
        self.assertGreater(told.summary["packs_unreadable"], 0)
        self.assertNotIn("safe", told.failure["reason"] + told.failure["message"])
        self.assertIn("datamesh verify lists", told.failure["suggestion"])

    def test_shards_that_nobody_knows_are_given_up_by_force(self):
        self.good("vault create", "two", "--trust-device")
        self.put("--vault", "two")
        self.good("vault destroy", "two", "--yes", "--key-only")
        told = self.fails(1, "drive remove", self.drives[0])
        self.assertTrue(told.startswith(f"datamesh rebuild && datamesh drive remove {self.drives[0]},"), told)
        self.assertTrue(told.endswith(f"datamesh drive remove {self.drives[0]} --force"), told)
        self.good("rebuild", "--vault", "main")
        self.good("drive remove", self.drives[0], "--force", "--yes")

    def test_a_vault_that_asks_for_its_password_is_named_where_it_holds_a_drive(self):
        self.good("vault create", "two")
        self.put("--vault", "two")
        self.good("drive add", self.world.path("d3"))
        told = self.fails(1, "drive remove", self.drives[0], env={"DATAMESH_PASSWORD_FILE": None})
        self.assertTrue(told.startswith(f"datamesh --vault two key trust-device && datamesh drive remove {self.drives[0]};"), told)
        self.good("key trust-device", "--vault", "two")
        self.assertIn("datamesh drive drain", self.fails(1, "drive remove", self.drives[0], env={"DATAMESH_PASSWORD_FILE": None}))

    def test_a_drive_that_a_closed_vault_keeps_goes_when_that_is_opened(self):
        self.good("key trust-device", "--vault", "main")
        self.good("vault create", "two")
        self.put("--vault", "two")
        new = self.world.path("d3")
        told = self.fails(1, "drive replace", self.drives[0], new, env={"DATAMESH_PASSWORD_FILE": None})
        self.assertEqual(told, f"datamesh --vault two drive replace {self.drives[0]} {new}")
        self.assertTrue(self.good("drive replace", self.drives[0], new, "--vault", "two").summary["removed"])

    def test_a_key_file_of_another_vault_is_told_as_such(self):
        self.put()
        copy, key = self.world.path("main.key"), self.home + "/vaults/main/key"
        self.good("key export", copy)
        self.good("vault create", "two", "--trust-device")
        shutil.copyfile(self.home + "/vaults/two/key", key)
        for command in (["info", "/f"], ["ls"], ["status"]):
            told = self.fails(1, command[0], *command[1:], "--vault", "main")
            self.assertTrue(told.startswith(f"cp COPY {key}, when that is the key file of another vault"), told)
        self.world.write("data/datamesh/vaults/main/key", "nonsense")
        told = self.fails(1, "info", "/f", "--vault", "main")
        self.assertEqual(told, f"cp COPY {key}, where COPY is what 'datamesh key export' wrote")
        shutil.copyfile(copy, key)
        self.good("info", "/f", "--vault", "main")

    def test_what_brings_no_vault_back_is_told_of_the_key_file_and_the_password(self):
        self.put()
        copy = self.world.path("main.key")
        self.good("key export", copy)
        shutil.rmtree(self.home)
        drives = [word for d in self.drives for word in ("--drive", d)]
        os.mkdir(self.world.path("folder"))
        with open(copy, "rb") as file:
            content = file.read()
        for name, content_of, code in (("none", None, 5), ("folder", None, 1), ("large", bytes(2 << 20), 6), ("f", b"notes", 1), ("half", content[: len(content) // 2], 1)):
            path = self.world.path(name) if content_of is None else self.world.write(name, content_of)
            with self.subTest(name=name):
                self.assertIn("which 'datamesh key export FILE' wrote", self.fails(code, "vault restore", path, *drives))
        wrong = self.world.write("wrong", "wrong\n")
        os.chmod(wrong, 0o600)
        told = self.fails(12, "vault restore", copy, *drives, "--password-file", wrong)
        self.assertIn("the password that held when the copy was made", told)
        self.assertTrue(told.endswith(f"datamesh vault restore {copy} --phrase-file -"), told)
        self.assertIn("'datamesh-drive'", self.fails(8, "vault restore", copy, "--drive", self.world.path("nowhere")))
        self.good("vault restore", copy, *drives)
        self.assertIn("--name NAME", self.fails(1, "vault restore", copy))
        self.good("info", "/f")

    def test_a_read_only_home_is_named_and_not_the_drives(self):
        new = self.world.path("d9")
        told = self.on_read_only(self.home, 4, "drive", "add", new)
        self.assertEqual(told, f"  next: mount the file system of the home read-write, then: datamesh drive adopt {new}")
        self.good("drive adopt", new)
        for command in (["destroy", "main", "--yes"], ["destroy", "main", "--yes", "--key-only"], ["create", "two", "--trust-device"]):
            told = self.on_read_only(self.home, 4, "vault", *command)
            self.assertIn(f"mount the file system of the home '{self.home}' read-write", told)
            self.assertNotIn("--key-only", told)

    def test_a_read_only_folder_is_named_where_it_should_become_a_drive(self):
        folder = self.world.path("folder")
        os.mkdir(folder)
        told = self.on_read_only(folder, 4, "drive", "add", folder + "/d")
        self.assertEqual(told, f"  next: mount the file system of {folder}/d read-write, or name a folder on another disk")
        self.put()
        self.assertIn(f"mount the file system of '{folder}' read-write", self.on_read_only(folder, 4, "get", "/f", "--to", folder))


class OnATerminal(unittest.TestCase):
    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)

    def test_colours_and_pages_are_for_terminals(self):
        terminal = self.world.terminal("explain", "DM-LOCKED", env={"TERM": "xterm"})
        self.assertEqual(terminal.end(), 0)
        self.assertIn(ESCAPE, terminal.seen)
        plain = self.world.terminal("explain", "DM-LOCKED", env={"NO_COLOR": "1"})
        self.assertEqual(plain.end(), 0)
        self.assertNotIn(ESCAPE, plain.seen)
        self.assertNotIn(ESCAPE, self.world.run("explain", "DM-LOCKED").out)
        self.assertIn(ESCAPE, self.world.run("explain", "DM-LOCKED", env={"CLICOLOR_FORCE": "1"}).out)
        self.assertIn(ESCAPE, self.world.run("explain", "DM-LOCKED", "--color=always").out)
        paged = self.world.terminal("explain", env={"PAGER": "sed s/^/paged:/"})
        self.assertEqual(paged.end(), 0)
        self.assertIn(b"paged:", paged.seen)
        short = self.world.terminal("explain", "--no-pager", env={"PAGER": "sed s/^/paged:/"})
        self.assertEqual(short.end(), 0)
        self.assertNotIn(b"paged:", short.seen)


class WithNode(unittest.TestCase):
    """One vault over six drives, used by all tests of the class; each works below a
    folder of its own name."""

    @classmethod
    def setUpClass(cls):
        cls.world = World(PROGRAM, DOCS)
        drives = [word for i in range(6) for word in ("--drive", cls.world.path(f"drive{i}"))]
        # The device key spares each of the many runs the second that a password costs.
        made = cls.world.json("init", "--trust-device", *drives)
        del cls.world.environment["DATAMESH_PASSWORD_FILE"]
        cls.phrase = made.summary["recovery_phrase"]
        assert made.code == 0 and made.summary["policy"] == "4+2" and made.summary["policy_level"] == "drive", made.all

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def setUp(self):
        self.folder = "/" + self._testMethodName
        self.good("mkdir", self.folder)

    def good(self, command, *arguments, **more):
        lines = self.world.json(command, *arguments, **more)
        self.assertEqual(lines.code, 0, lines.all)
        return lines

    def put(self, name, content, *options):
        path = self.world.write(f"work/{self._testMethodName}/{name}", content)
        return self.good("put", path, "--to", self.folder, *options)

    def get(self, path):
        ended = self.world.run("cat", path)
        self.assertEqual((ended.code, ended.err), (0, b""), str(ended))
        return ended.out

    def names(self, path, *options):
        return [item["path"] for item in self.good("ls", path, *options).items]

    def test_a_file_comes_back_in_three_commands(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        world.write("work/notes.txt", "hello")
        for command in (["init", "--drive", world.path("a"), "-d", world.path("b"), "-d", world.path("c")], ["put", "notes.txt"], ["get", "/notes.txt", "--to", world.path("back")]):
            ended = world.run(*command)
            self.assertEqual(ended.code, 0, str(ended))
        with open(world.path("back/notes.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "hello")

    def test_a_tree_comes_back_as_it_was(self):
        top = self.world.path("work", self._testMethodName, "tree")
        os.makedirs(top + "/deep/er")
        self.world.write(f"work/{self._testMethodName}/tree/deep/er/x.bin", os.urandom(3_000_000))
        self.world.write(f"work/{self._testMethodName}/tree/empty", b"")
        os.symlink("deep/er", top + "/link")
        stored = self.good("put", top, "--to", self.folder)
        self.assertEqual((stored.summary["files"], stored.summary["symlinks"], stored.summary["failed"]), (2, 1, 0))
        self.assertEqual(stored.summary["bytes"], 3_000_000)
        link = self.world.json("cat", self.folder + "/tree/link")
        self.assertEqual((link.code, link.failure["error"]), (1, "DM-UNSUPPORTED-SOURCE"))
        self.assertIn("datamesh info ", link.failure["suggestion"])
        back = self.world.path("work", self._testMethodName, "back")
        fetched = self.good("get", self.folder + "/tree", "--to", back)
        self.assertEqual(fetched.summary["files"], 2)
        subprocess.run(["diff", "-r", "--no-dereference", top, back + "/tree"], check=True)
        self.good("get", self.folder + "/tree", "--to", back)
        with open(back + "/tree/deep/er/x.bin", "wb") as file:
            file.write(b"mine")
        again = self.world.json("get", self.folder + "/tree", "--to", back)
        self.assertEqual((again.code, [e["error"] for e in again.of("error")]), (3, ["DM-ALREADY-EXISTS"]))
        with open(back + "/tree/deep/er/x.bin", "rb") as file:
            self.assertEqual(file.read(), b"mine")
        self.good("get", self.folder + "/tree", "--to", back, "--force")
        subprocess.run(["diff", "-r", "--no-dereference", top, back + "/tree"], check=True)

    def test_standard_input_and_output_stream(self):
        content = os.urandom(5_000_000)
        self.good("put", "-", "--as", "piped", "--to", self.folder, stdin=content)
        path = self.folder + "/piped"
        self.assertEqual(self.get(path), content)
        self.assertEqual(self.world.run("get", path, "--to", "-").out, content)
        self.assertEqual(self.world.run("cat", path, "--range", "10-19").out, content[10:20])
        self.assertEqual(self.world.run("cat", path, "--range", "1M+64K").out, content[1 << 20 : (1 << 20) + (64 << 10)])
        self.assertEqual(self.world.run("cat", path, "--range", "4999990-").out, content[4_999_990:])
        lines = self.good("cat", path)
        data = [item for item in lines.items if item["action"] == "data"]
        self.assertEqual(b"".join(base64.b64decode(item["data_base64"]) for item in data), content)
        self.assertEqual(self.world.json("cat", path, "--range", "6000000-").failure["error"], "DM-RANGE-INVALID")

    def test_names_of_any_bytes_are_shown_harmlessly_and_told_exactly(self):
        name = b"a\x1b[31mb\xff\n\"c"
        folder = os.path.join(self.world.path("work").encode(), b"bytes")
        os.mkdir(folder)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x")
        self.good("put", os.path.join(folder, name), "--to", self.folder)
        item = self.good("ls", self.folder).items[0]
        self.assertEqual(base64.b64decode(item["path_base64"]), self.folder.encode() + b"/" + name)
        ended = self.world.run("ls", "-l", self.folder)
        self.assertNotIn(ESCAPE, ended.out)
        self.assertEqual(len(ended.text.splitlines()), 1)
        self.assertEqual(self.world.run("cat", self.folder.encode() + b"/" + name).out, b"x")

    def test_patterns_match_the_vault(self):
        for name in ("a.txt", "b.txt", "c.jpg", "[x]"):
            self.put(name, name)
        self.assertEqual(self.names(self.folder + "/*.txt"), [self.folder + "/a.txt", self.folder + "/b.txt"])
        self.assertEqual(self.names("/**/" + "c.jpg"), [self.folder + "/c.jpg"])
        self.assertEqual(self.get(self.folder + "/[x]"), b"[x]")
        self.assertEqual(self.world.json("rm", self.folder + "/*.png").code, 5)

    def test_removing_moving_and_copying_can_be_tried_and_undone(self):
        self.put("a", "1")
        a, b = self.folder + "/a", self.folder + "/b"
        tried = self.good("rm", a, "--dry-run")
        self.assertEqual((tried.summary["dry_run"], tried.summary["changed"]), (True, 0))
        self.good("mv", a, b, "--dry-run")
        self.good("cp", a, b, "-n")
        self.assertEqual(self.names(self.folder), [a])
        self.good("cp", a, b)
        self.assertEqual(self.world.json("mv", a, b).failure["error"], "DM-ALREADY-EXISTS")
        self.good("mkdir", self.folder + "/into")
        self.good("mv", a, b, self.folder + "/into")
        self.assertEqual(self.names(self.folder, "-r"), [self.folder + x for x in ("/into", "/into/a", "/into/b")])
        self.assertEqual(self.world.json("rm", self.folder + "/into").failure["error"], "DM-FOLDER-NOT-EMPTY")
        self.good("rm", "-r", self.folder + "/into", "--flush")
        self.assertEqual(self.names(self.folder), [])
        gone = [item for item in self.good("ls", "--trash").items if item["name"] == "into"]
        self.assertEqual(len(gone), 1)
        self.good("restore", self.folder + "/into", "--dry-run")
        self.assertEqual(self.names(self.folder), [])
        self.good("restore", gone[0]["id"][:12], "--to", self.folder + "/again")
        self.assertEqual(self.get(self.folder + "/again/a"), b"1")
        self.good("rm", self.folder + "/again/a")
        self.good("restore", self.folder + "/again/a")
        self.assertEqual(self.get(self.folder + "/again/a"), b"1")
        self.assertEqual(self.world.json("restore", self.folder + "/nothing").code, 5)

    def test_a_dry_run_refuses_what_the_real_run_would(self):
        self.put("a", "1")
        a, folder = self.folder + "/a", self.folder + "/d"
        self.good("mkdir", folder)
        self.good("cp", a, folder)
        for command, *arguments in (
            ("tag", self.folder + "/none", "k=v"),
            ("mv", folder, folder + "/x"),
            ("cp", folder, folder + "/x"),
            ("mv", a, folder),
            ("cp", a, folder),
            ("drive remove", self.good("drive list").items[0]["folder"]),
        ):
            with self.subTest(command=command, arguments=arguments):
                tried, real = (self.world.json(command, *arguments, *option) for option in (["--dry-run"], []))
                self.assertNotEqual(real.code, 0)
                self.assertEqual((tried.code, tried.failure["error"]), (real.code, real.failure["error"]), tried.all)
        self.good("mv", a, folder, "--if-exists", "rename", "--dry-run")

    def test_a_dry_run_of_names_ends_with_the_words_of_the_real_one(self):
        for name in ("a", "b", "c"):
            self.put(name, name)
        a, b, c, folder = (self.folder + "/" + name for name in ("a", "b", "c", "d"))
        self.good("rm", c)
        self.put("c", "again")
        for place in ("p", "q"):
            self.good("put", self.world.write(f"work/{self._testMethodName}/{place}/same", place), "--to", f"{self.folder}/{place}")
        self.good("mkdir", folder)
        for code, command, *arguments in (
            (1, "cp", a, a),
            (1, "cp", a, self.folder),
            (2, "mv", "/", "/x"),
            (1, "cp", "/", "/x"),
            (2, "rm", "/"),
            (2, "rm", "-r", "/"),
            (1, "mv", a, b + "/x"),
            (1, "cp", a, b + "/x"),
            (2, "mv", a, self.folder + "/" + 300 * "n"),
            (2, "cp", a, self.folder + "/" + 300 * "n"),
            (5, "mv", self.folder + "/none", folder),
            (5, "cp", self.folder + "/none", folder),
            (5, "rm", self.folder + "/none"),
            (1, "restore", c),
            (2, "tag", a, 256 * "k" + "=v"),
            # The first moves, and takes the name of the second.
            (1, "mv", self.folder + "/p/same", self.folder + "/q/same", folder),
        ):
            with self.subTest(command=command, arguments=arguments):
                before = self.names(self.folder, "-r")
                tried = self.world.json(command, *arguments, "--dry-run")
                self.assertEqual(self.names(self.folder, "-r"), before)
                real = self.world.json(command, *arguments)
                self.assertEqual((tried.code, real.code), (code, code), tried.all)
                self.assertEqual(tried.failure, real.failure)

    def test_a_dry_run_of_names_names_what_the_real_one_makes(self):
        for name in ("a", "b", "t.txt"):
            self.put(name, name)
        self.good("put", self.world.write(f"work/{self._testMethodName}/d/x", "x"), "--to", self.folder + "/d")
        self.good("mkdir", self.folder + "/e")
        at = lambda name: self.folder + "/" + name
        for command, sources, target, options, places in (
            ("cp", ["a"], "a", ["--if-exists", "version"], ["a"]),
            ("cp", ["a"], "a", ["--if-exists", "rename"], ["a (2)"]),
            ("cp", ["a"], "t.txt", ["--if-exists", "rename"], ["t (2).txt"]),
            ("mv", ["a (2)"], "b", ["--if-exists", "rename"], ["b (2)"]),
            ("mv", ["b"], "b", [], ["b"]),
            ("mv", ["b"], "new/b", [], ["new/b"]),
            ("mv", ["new/b"], "", [], ["b"]),
            ("cp", ["a", "d"], "e", [], ["e/a", "e/d"]),
            ("cp", ["a", "e/a"], "new", ["--if-exists", "rename"], ["new/a", "new/a (2)"]),
            # A folder that is there is gone into, and one in it, too; then both have the same content.
            ("cp", ["d"], "e", [], ["e/d/d"]),
            ("cp", ["d"], "e", ["--if-exists", "version"], ["e/d/d"]),
            ("mv", ["e/a"], "d/y", [], ["d/y"]),
        ):
            with self.subTest(command=command, sources=sources, target=target, options=options):
                words = [*map(at, sources), at(target), *options]
                before = self.names(self.folder, "-r")
                tried = self.good(command, *words, "--dry-run")
                self.assertEqual(self.names(self.folder, "-r"), before)
                real = self.good(command, *words)
                for lines in (tried, real):
                    self.assertEqual([(item["path"], item["target"]) for item in lines.items], list(zip(map(at, sources), map(at, places))))
        # What would be gone is in no folder any more.
        for option in (["--dry-run"], []):
            self.good("rm", at("d/x"), at("d/y"), at("d"), *option)
        refused = [self.world.json("cp", at("e/d"), at("e/d/d"), *option) for option in (["--dry-run"], [])]
        self.assertEqual([lines.code for lines in refused], [1, 1], refused[1].all)

    def test_a_path_in_the_trash_is_that_of_what_was_removed_and_no_other_of_its_name(self):
        for place in ("a", "b"):
            self.good("put", self.world.write(f"work/{self._testMethodName}/{place}/config", place), "--to", f"{self.folder}/{place}")
        a, b = (f"{self.folder}/{place}/config" for place in ("a", "b"))
        self.good("rm", b)
        self.good("mv", a, a + ".old")
        for word in (a, self.folder + "/config", "/config", "no/config"):
            refused = self.world.json("restore", word)
            self.assertEqual((refused.code, refused.failure["suggestion"]), (5, f"datamesh restore {b}"), refused.all)
        self.assertEqual(self.names(self.folder, "-r"), [self.folder + x for x in ("/a", "/a/config.old", "/b")])
        self.assertEqual(self.world.json("restore", self.folder + "/never").failure["suggestion"], "datamesh ls --trash")
        # A bare name is that of the newest, which goes back to where it was.
        ended = self.world.run("restore", "config")
        self.assertEqual((ended.code, ended.text), (0, f"Restored {b}.\n"), str(ended))
        self.assertEqual(self.get(b), b"b")

    def test_what_a_pattern_matches_in_a_folder_goes_along_with_it(self):
        for name in ("1", "x/1", "x/y/2"):
            self.good("put", self.world.write(f"work/{self._testMethodName}/{name}", name), "--to", os.path.dirname(f"{self.folder}/from/{name}"))
        paths = lambda lines: [item["path"] for item in lines.items]
        top = [self.folder + "/from/" + name for name in ("1", "x")]
        self.good("mkdir", self.folder + "/to")
        for command, *target in (("cp", self.folder + "/to"), ("mv", self.folder + "/moved/"), ("rm",)):
            with self.subTest(command=command):
                options = ["-r"] if command == "rm" else []
                if command == "mv":
                    self.good("mkdir", target[0])
                tried = self.good(command, *options, "--dry-run", self.folder + "/from/**", *target)
                real = self.good(command, *options, self.folder + "/from/**", *target)
                self.assertEqual((paths(tried), paths(real)), (top, top))
                if command == "mv":
                    self.good("mv", self.folder + "/moved/1", self.folder + "/moved/x", self.folder + "/from")
        self.assertEqual(self.names(self.folder, "-r"), [self.folder + "/" + x for x in ("from", "moved", "to", "to/1", "to/x", "to/x/1", "to/x/y", "to/x/y/2")])
        back = self.world.path("work", self._testMethodName, "back")
        self.good("get", self.folder + "/to/**", "--to", back)
        self.assertEqual(sorted(os.listdir(back)), ["1", "x"])
        # What is named itself is meant itself, but can not be removed twice.
        self.good("cp", self.folder + "/to/x", self.folder + "/to/x/y", self.folder + "/moved")
        self.assertEqual(self.names(self.folder + "/moved"), [self.folder + "/moved/" + x for x in ("x", "y")])
        self.good("rm", "-r", self.folder + "/moved/x", self.folder + "/moved/x/y")
        self.assertEqual(self.names(self.folder + "/moved"), [self.folder + "/moved/y"])

    def test_a_folder_that_is_there_is_not_told_as_made(self):
        path = self.folder + "/a/b"
        made = self.world.run("mkdir", path)
        self.assertEqual((made.code, made.text), (0, f"Made {path}.\n"), str(made))
        again = self.world.run("mkdir", path)
        self.assertEqual((again.code, again.text, again.errors), (0, "", f"{path} is there already.\n"), str(again))
        self.assertEqual(self.good("mkdir", path).summary["changed"], 0)

    def test_as_many_versions_are_kept_as_asked_for_the_current_one_among_them(self):
        for text in "12345":
            self.put("f", text)
        for kept in (2, 1):
            self.assertIn("current", self.world.json("cleanup", "--keep-versions", str(kept)).failure["message"])
            self.good("cleanup", "--keep-versions", str(kept), "--yes")
            versions = self.good("versions", self.folder + "/f").items
            self.assertEqual([v["current"] for v in versions], [True] + [False] * (kept - 1))
        self.assertEqual(self.get(self.folder + "/f"), b"5")

    def test_versions_are_listed_fetched_and_made_current(self):
        self.put("f", "first")
        self.put("f", "second")
        path = self.folder + "/f"
        versions = self.good("versions", path).items
        self.assertEqual([v["current"] for v in versions], [True, False])
        old = versions[1]["id"]
        self.assertEqual(self.world.run("cat", path, "--version", old[:10]).out, b"first")
        self.assertEqual(self.get(path), b"second")
        self.good("restore", path, "--version", old)
        self.assertEqual(self.get(path), b"first")
        self.assertEqual(self.world.json("cat", path, "--version", "zz").code, 5)

    def test_conflicts_follow_the_policy(self):
        self.put("f.txt", "1")
        path = self.world.write("work/conflict/f.txt", "2")
        self.assertEqual(self.world.json("put", path, "--to", self.folder, "--if-exists", "fail").code, 1)
        refused = self.world.run("put", path, "--to", self.folder, "--if-exists", "fail")
        self.assertIn("--if-exists version", refused.errors)
        renamed = self.good("put", path, "--to", self.folder, "--if-exists", "rename")
        self.assertEqual(renamed.summary["stored_as"], [self.folder + "/f (2).txt"])
        self.assertEqual(self.get(self.folder + "/f.txt"), b"1")

    def test_a_file_that_became_a_folder_or_a_folder_a_file_comes_with_what_to_run(self):
        self.put("f", "1")
        self.put("f", "2")
        self.put("l", "3")
        top = self.world.path("work", self._testMethodName)
        self.world.write(f"work/{self._testMethodName}/d/e", "4")
        self.good("put", top + "/d", "--to", self.folder)
        for path in ("f", "d/e", "l"):
            os.remove(os.path.join(top, path))
        os.rmdir(top + "/d")
        self.world.write(f"work/{self._testMethodName}/f/g/h", "5")
        self.world.write(f"work/{self._testMethodName}/d", "6")
        os.symlink("d", top + "/l")
        for name, remove in (("f", "rm "), ("d", "rm -r "), ("l", "rm ")):
            path = self.folder + "/" + name
            for options in ([], ["--dry-run"]):
                refused = self.world.json("put", f"{top}/{name}", "--to", self.folder, *options)
                self.assertEqual(refused.code, 1, refused.all)
                self.assertTrue(refused.failure["suggestion"].startswith(f"datamesh {remove}{path}, and the same put again;"), refused.all)
        refused = self.world.json("put", f"{top}/f", f"{top}/d", "--to", self.folder)
        self.assertTrue(refused.failure["suggestion"].startswith(f"datamesh rm -r {self.folder}/d {self.folder}/f, and"), refused.all)
        piped = self.world.json("put", "-", "--as", "d", "--to", self.folder, stdin=b"x")
        self.assertIn(f"datamesh rm -r {self.folder}/d, and", piped.failure["suggestion"])
        # What the advice says is so.
        path = self.folder + "/f"
        self.good("rm", path)
        self.good("put", top + "/f", "--to", self.folder)
        taken = self.world.json("restore", path)
        self.assertEqual((taken.code, taken.failure["suggestion"]), (1, f"datamesh restore {path} --to PATH"), taken.all)
        self.good("restore", path, "--to", path + ".old")
        self.assertEqual(len(self.good("versions", path + ".old").items), 2)
        self.assertEqual(self.get(path + ".old"), b"2")
        self.assertEqual(self.get(path + "/g/h"), b"5")

    def test_a_folder_that_can_not_go_to_standard_output_comes_with_what_brings_it_back(self):
        self.put("a b/f", "1")
        top = self.world.path("work", self._testMethodName, "a b")
        self.good("put", top, "--to", self.folder)
        for command in (["get", self.folder + "/a b", "--to", "-"], ["cat", self.folder + "/a b"]):
            refused = self.world.json(command[0], *command[1:])
            self.assertEqual((refused.code, refused.failure["error"]), (1, "DM-IS-A-FOLDER"), refused.all)
            told = refused.failure["suggestion"]
            self.assertTrue(told.startswith(f"datamesh get '{self.folder}/a b' --to FOLDER,"), told)
            self.assertIn(f"datamesh ls '{self.folder}/a b'", told)
        self.good("get", self.folder + "/a b", "--to", self.world.path("work/back"))

    def test_times_that_can_not_be_told_are_counted_in_one_warning(self):
        names = [f"f{i}" for i in range(3)]
        top = self.world.path("work", self._testMethodName)
        for name in names:
            path = self.world.write(f"work/{self._testMethodName}/{name}", name)
            os.utime(path, (0, 13_569_465_600))
            if os.stat(path).st_mtime < 13_000_000_000:
                self.skipTest("this file system keeps no such time")
        os.utime(top, (0, 0))

        def warnings(*sources):
            return [line["text"] for line in self.good("put", *sources, "--to", self.folder).of("status") if line["kind"] == "warning"]

        one = warnings(top + "/f0")
        self.assertEqual(len(one), 1)
        self.assertIn(f"{self.folder}/f0: its time of change is outside of the years 1678 to 2261", one[0])
        self.assertNotIn("more", one[0])
        many = warnings(top)
        self.assertEqual(len(many), 1)
        self.assertIn("so are those of 2 more", many[0])
        self.assertEqual(warnings(self.world.write(f"work/{self._testMethodName}/g", "x")), [])

    def test_tags_are_set_listed_and_removed(self):
        self.put("f", "1")
        path = self.folder + "/f"
        self.good("tag", path, "year=2025", "kind=tax")
        self.assertEqual(sorted((i["key"], i["value"]) for i in self.good("tag", path).items), [("kind", "tax"), ("year", "2025")])
        self.good("tag", path, "--remove", "kind")
        self.assertEqual(self.good("info", path).items[0]["tags"], [{"key": "year", "value": "2025"}])
        self.assertEqual(self.world.json("tag", path, "nonsense").code, 2)

    def test_a_dry_put_stores_nothing(self):
        # What is in the catalog alone would go into a pack with any put.
        self.good("mkdir", self.folder + "/flushed", "--flush")
        path = self.world.write("work/dry/f", os.urandom(100_000))
        sum = self.good("put", path, "--to", self.folder, "--dry-run").summary
        self.assertEqual((sum["dry_run"], sum["files"], sum["bytes_written"]), (True, 1, 0))
        self.assertEqual(self.names(self.folder), [self.folder + "/flushed"])

    def test_what_can_not_be_read_is_told_and_the_rest_is_stored(self):
        top = self.world.path("work", self._testMethodName)
        os.makedirs(top)
        os.mkfifo(top + "/pipe")
        self.world.write(f"work/{self._testMethodName}/file", "x")
        lines = self.world.json("put", top, "--to", self.folder)
        self.assertEqual((lines.code, lines.failure["error"]), (3, "DM-PARTIAL-FAILURE"))
        self.assertEqual([e["error"] for e in lines.of("error")], ["DM-UNSUPPORTED-SOURCE"])
        self.assertEqual(lines.summary["files"], 1)

    def test_a_put_of_the_store_itself_stores_nothing_and_is_no_success(self):
        drive = self.world.path("drive0")
        for options in ([], ["--dry-run"]):
            lines = self.world.json("put", drive, "--to", self.folder, *options)
            self.assertEqual((lines.code, lines.failure["error"], lines.summary["files"]), (2, "DM-INVALID-ARGUMENT", 0), lines.all)
            told = self.world.run("put", drive, "--to", self.folder, *options)
            self.assertIn("next: name a file or folder outside of the drives", told.errors)
            self.assertNotIn("0 files", told.text)
        path = self.world.write(f"work/{self._testMethodName}/f", "x")
        both = self.good("put", drive, path, "--to", self.folder)
        self.assertEqual((both.summary["files"], both.of("status")[0]["kind"]), (1, "warning"))

    def test_a_trash_age_of_0_forgets_all_that_is_in_the_trash(self):
        self.put("f", "x")
        self.good("rm", self.folder + "/f")
        asked = self.world.json("cleanup", "--trash-age", "0")
        self.assertEqual((asked.code, asked.failure["error"]), (2, "DM-CONFIRMATION-NEEDED"))
        self.good("cleanup", "--trash-age", "0", "--yes")
        self.assertEqual(self.good("ls", "--trash").items, [])

    def test_figures_that_would_be_absurd_are_explained_instead(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "-d", world.path("d")).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(9000))).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(9))).code, 0)
        stats = world.run("stats").text
        self.assertRegex(stats, r"(?m)^Different .* in 2 chunks: older versions are kept, or wait for a cleanup$")
        self.assertRegex(stats, r"(?m)^Sealed .*: the seals take more than compression saves$")
        self.assertNotRegex(stats, r"0\.\d+x")
        with open(world.path("work/hole"), "wb") as file:
            file.truncate(1 << 30)
        self.assertEqual(world.json("put", world.path("work/hole")).code, 0)
        self.assertRegex(world.run("stats").text, r"(?m)^Different .*x by deduplication and holes$")

    def test_missing_things_have_their_codes(self):
        self.assertEqual(self.world.json("get", "/nowhere").code, 5)
        self.assertEqual(self.world.json("ls", "--vault", "other").code, 10)
        self.assertEqual(self.world.json("drive drain", "zzz").code, 5)
        wrong = self.world.write("wrong-password", "wrong\n")
        refused = self.world.json("ls", "--password-file", wrong)
        self.assertEqual(refused.code, 12)
        self.assertIn("others may read", refused.of("status")[0]["text"])
        self.assertEqual(self.world.json("put", "/nonexistent-source").code, 5)

    def test_passwords_come_from_a_command_and_the_phrase_from_a_file(self):
        self.good("ls", "--password-file", self.world.path("password"))
        self.good("ls", "--password-command", f"cat {self.world.path('password')}")
        self.good("ls", "--password-file", "-", stdin=PASSWORD.encode())
        self.assertEqual(self.world.json("ls", "--password-command", "echo wrong").code, 12)
        self.assertEqual(self.world.json("ls", "--password-command", "false").code, 2)
        self.assertEqual(self.world.json("ls", "--password-command", "true").code, 2)
        self.assertEqual(self.world.json("ls", "--password-command", "printf %2000d 0").code, 2)
        phrase = self.world.write("phrase", self.phrase + "\n")
        self.good("ls", "--phrase-file", phrase)
        self.assertEqual(self.world.json("ls", "--phrase-file", self.world.write("no-phrase", "lusab-babad")).code, 12)

    def test_status_stats_and_checks_answer(self):
        self.put("f", os.urandom(1_000_000))
        status = self.good("status").summary
        self.assertEqual((status["answer"], len(status["drives"])), ("safe", 6))
        self.assertLessEqual(len(self.world.run("status").text.splitlines()), 24)
        self.assertTrue(self.world.run("status").text.startswith("Yes, your data is safe."))
        self.assertGreater(self.good("stats").summary["logical_bytes"], 999_999)
        self.assertEqual(self.good("verify", "--deep").summary["shards_damaged"], 0)
        self.good("repair")
        self.good("cleanup", "--dry-run")
        self.good("cleanup")
        self.good("rebalance", "--dry-run")
        self.assertIn(self.world.json("doctor").code, (0, 3))

    def test_the_list_on_a_pipe_has_no_escape_sequence_and_stdout_holds_all_data(self):
        self.put("f", "1")
        for command in (["ls"], ["ls", "-l", "--health"], ["status"], ["stats"], ["drive", "list"], ["vault", "list"], ["key", "list"], ["info", self.folder]):
            ended = self.world.run(*command)
            self.assertEqual(ended.code, 0, str(ended))
            self.assertNotIn(ESCAPE, ended.out)
            self.assertNotEqual(ended.out, b"")

    def test_a_second_opener_is_told(self):
        reader, writer = os.pipe()
        program = subprocess.Popen(
            [self.world.program, "put", "-", "--as", "slow", "--to", self.folder], env=self.world.variables(None), stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(reader)
        # It reads only after it has opened the node; the pipe holds 64 KiB, so once more
        # was taken it has begun.
        os.write(writer, bytes(1 << 20))
        self.assertEqual(self.world.json("ls").code, 11)
        told = self.world.run("ls").errors
        self.assertIn(f"process {program.pid} (datamesh) has the node in", told)
        self.assertNotIn("datamesh status", told)
        os.close(writer)
        out, err = program.communicate(timeout=120)
        self.assertEqual(program.returncode, 0, out + err)

    def test_an_interrupted_put_ends_with_130_and_leaves_the_node_usable(self):
        reader, writer = os.pipe()
        program = subprocess.Popen(
            [self.world.program, "put", "-", "--as", "cut", "--to", self.folder, "--json"], env=self.world.variables(None), stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(reader)
        os.write(writer, bytes(1 << 20))
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=120)
        os.close(writer)
        self.assertEqual((program.returncode, err), (130, b""), out)
        self.assertEqual(json.loads(out.splitlines()[-1])["error"], "DM-CANCELLED")
        self.assertEqual(self.names(self.folder), [])

    def test_sigusr1_prints_a_line_of_status(self):
        reader, writer = os.pipe()
        program = subprocess.Popen(
            [self.world.program, "put", "-", "--as", "watched", "--to", self.folder], env=self.world.variables(None), stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(reader)
        os.write(writer, bytes(1 << 20))
        program.send_signal(signal.SIGUSR1)
        line = program.stderr.readline()
        self.assertTrue(line.startswith(b"put  "), line)
        os.close(writer)
        program.communicate(timeout=120)
        self.assertEqual(program.returncode, 0)

    def test_put_and_get_say_for_what_they_waited(self):
        stored = self.put("some.bin", os.urandom(500_000))
        back = self.world.path("work", self._testMethodName, "back")
        fetched = self.good("get", self.folder + "/some.bin", "--to", back)
        for lines in stored, fetched:
            waits = lines.summary["waits"]
            figures = {stage: waits[stage + "_ns"] for stage in ("memory", "source", "codec", "drives", "catalog", "target")}
            self.assertLessEqual(sum(figures.values()), waits["elapsed_ns"])
            self.assertEqual(figures[waits["limiting"]], max(figures.values()))
        told = self.world.run("get", self.folder + "/some.bin", "--to", back, "--force", "--verbose")
        self.assertEqual(told.code, 0, str(told))
        self.assertRegex(told.errors, r"It waited longest for .*: \d+ % of \d+\.\d s")
        streamed = self.world.run("cat", self.folder + "/some.bin", "--verbose")
        self.assertEqual(len(streamed.out), 500_000)

    def errors_of(self, code, *arguments):
        ended = self.world.run(*arguments)
        self.assertEqual(ended.code, code, str(ended))
        return ended.errors.splitlines()

    def test_of_many_failures_a_few_are_shown_and_all_are_counted(self):
        top = self.world.path("work", self._testMethodName, "tree")
        os.makedirs(top)
        for i in range(63):
            os.mkfifo(f"{top}/fifo{i:02}")
        lines = self.errors_of(3, "put", top, "--to", self.folder)
        self.assertLess(len(lines), 12, lines)
        self.assertEqual(lines[5], "and 58 more: DM-UNSUPPORTED-SOURCE; --verbose tells each")
        self.assertIn("63 of the items could not be stored: 63 DM-UNSUPPORTED-SOURCE", lines[6])
        for line in lines:
            self.assertLessEqual(line.count("stands where a file is due"), 1, line)
            self.assertLessEqual(line.count("fifo"), 1, line)
        lines = self.world.run("put", top, "--to", self.folder, "--verbose").errors.splitlines()
        self.assertEqual(len([line for line in lines if not line.startswith("It waited longest for ")]), 63 + 3)
        told = self.world.json("put", top, "--to", self.folder).of("error")
        self.assertEqual(len(told), 63)
        self.assertEqual(told[0]["message"].count("stands where a file is due"), 1)

    def test_a_single_source_that_fails_is_the_failure_of_the_command(self):
        for arguments in (["put", "nowhere"], ["put", "nowhere", "--json"], ["get", "/nowhere"]):
            ended = self.world.run(*arguments)
            self.assertEqual(ended.code, 5, str(ended))
            self.assertNotIn("the rest was done", ended.errors + ended.text)
            self.assertNotIn("Stored", ended.text)
        lines = self.errors_of(5, "put", "nowhere")
        self.assertEqual(len(lines), 3, lines)
        self.assertIn("nowhere", lines[0])
        self.assertIn("of this machine", lines[2])
        self.assertEqual(self.world.json("put", "nowhere").failure["error"], "DM-NOT-FOUND")
        self.assertIn("all 2 of the items", self.errors_of(5, "put", "nowhere", "neither")[2])
        good = self.world.write(f"work/{self._testMethodName}/good", "x")
        self.assertEqual(self.world.json("put", "nowhere", good, "--to", self.folder).code, 3)

    def test_a_single_link_that_fails_is_the_failure_of_the_command(self):
        link = self.world.path("work", self._testMethodName, "l")
        back = self.world.path("work", self._testMethodName, "back")
        os.makedirs(back + "/l/in-the-way")
        os.symlink("somewhere", link)
        self.good("put", link, "--to", self.folder)
        refused = self.world.json("get", self.folder + "/l", "--to", back, "--force")
        self.assertEqual((refused.code, refused.summary["symlinks"], refused.summary["failed"]), (1, 0, 1), refused.all)
        self.assertNotIn("the rest was done", refused.failure["reason"])

    def test_a_file_that_is_there_is_replaced_by_force_and_that_is_said(self):
        self.put("f", "mine")
        back = self.world.write(f"work/{self._testMethodName}/back/f", "other")
        lines = self.errors_of(1, "get", self.folder + "/f", "--to", os.path.dirname(back))
        self.assertEqual(len(lines), 3, lines)
        self.assertIn("--force", lines[2])
        self.assertNotIn("--if-exists", lines[2])

    def test_names_with_backslashes_are_not_taken_for_escaped_ones(self):
        for name in ("a\x1bb", "a\\x1bb"):
            self.put(name, "1")
        self.assertEqual(sorted(self.world.run("ls", self.folder).text.splitlines()), ["a\\\\x1bb", "a\\x1bb"])

    def test_listings_are_filtered_by_tag_name_size_and_date(self):
        for name, size, moment in (("small.jpg", 10, 1_000_000_000), ("large.jpg", 5000, 1_700_000_000), ("large.txt", 5000, 1_000_000_000)):
            path = self.world.write(f"work/{self._testMethodName}/sub/{name}", b"x" * size)
            os.utime(path, (moment, moment))
        self.good("put", self.world.path("work", self._testMethodName, "sub"), "--to", self.folder)
        self.good("tag", self.folder + "/sub/large.jpg", "year=2025", "kind=tax")
        self.good("tag", self.folder + "/sub/small.jpg", "year=2024")

        def found(*filters):
            return [path.rsplit("/", 1)[1] for path in self.names(self.folder, "-r", *filters)]

        self.assertEqual(found("--name", "*.jpg"), ["large.jpg", "small.jpg"])
        self.assertEqual(found("--larger", "4K"), ["large.jpg", "large.txt"])
        self.assertEqual(found("--larger", "5000"), [])
        self.assertEqual(found("--smaller", "11"), ["small.jpg"])
        self.assertEqual(found("--newer", "2020-01-01", "--name", "*.*"), ["large.jpg"])
        self.assertEqual(found("--older", "2001-09-09T01:46:40Z"), [])
        self.assertEqual(found("--older", "2001-09-09T01:46:41Z"), ["large.txt", "small.jpg"])
        self.assertIn("sub", found("--newer", "1d"))
        self.assertEqual(found("--tag", "year"), ["large.jpg", "small.jpg"])
        self.assertEqual(found("--tag", "year=2025"), ["large.jpg"])
        self.assertEqual(found("--tag", "year", "--tag", "kind=tax"), ["large.jpg"])
        self.assertEqual(found("--tag", "year=2025", "--smaller", "4K"), [])
        self.assertEqual(self.good("ls", self.folder + "/sub", "--larger", "4K").summary, {"message_type": "summary", "entries": 2, "bytes": 10000})
        self.assertEqual(self.world.json("ls", "--newer", "yesterday").code, 2)
        self.assertEqual(self.world.json("ls", "--trash", "--name", "x").code, 2)

    def test_times_for_people_have_no_fraction(self):
        self.put("f", "1")
        for command in (["ls", "-l", self.folder], ["info", self.folder + "/f"], ["versions", self.folder + "/f"], ["ls", "--trash"], ["key", "list"]):
            text = self.world.run(*command).text
            self.assertNotRegex(text, r"\d\.\d{9}Z")
        self.assertRegex(self.world.run("ls", "-l", self.folder).text, r" \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
        self.assertRegex(self.good("ls", self.folder).items[0]["modified"], r"\.\d{9}Z$")

    def test_one_thing_is_told_in_the_singular(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.run("init", "--trust-device", "-d", world.path("d")).code, 0)
        self.assertEqual(world.run("put", world.write("work/f", "x")).code, 0)
        said = world.run("stats").text + world.run("verify").text + world.run("cleanup").text
        self.assertRegex(said, r"\b1 pack\b")
        self.assertNotRegex(said, r"(?<![\d,.])1 (packs|versions|folders|links|shards|entries|operations|chunks|files)\b")

    def test_names_of_the_vault_drives_and_vaults_are_completed(self):
        self.put("complete-me", "1")
        self.assertEqual(self.world.run("__complete", "get", self.folder + "/comp").text.split(), [self.folder + "/complete-me"])
        self.assertEqual(self.world.run("__complete", "ls", "--vault", "ma").text.split(), ["main"])
        self.assertEqual(len(self.world.run("__complete", "drive", "drain", self.world.folder).text.split()), 6)

    def test_keys_are_listed_added_changed_and_removed(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "--drive", world.path("d")).code, 0)
        self.assertEqual(sorted(i["kind"] for i in world.json("key list").items), ["password", "recovery-phrase"])
        locked = {"DATAMESH_PASSWORD_FILE": None}
        self.assertEqual(world.json("ls", env=locked).code, 2)
        asked = world.run("__complete", "get", "/", env=locked)
        self.assertEqual((asked.code, asked.out, asked.err), (0, b"", b""), "completion must not ask")
        self.assertEqual(world.json("key trust-device").code, 0)
        self.assertEqual(world.json("ls", env={"DATAMESH_PASSWORD_FILE": None}).code, 0)
        added = world.json("key recovery").summary["recovery_phrase"]
        new = world.write("new", "another password\n")
        self.assertEqual(world.json("key change-password", "--new-password-file", new).code, 0)
        self.assertEqual(world.json("ls").code, 12)
        self.assertEqual(world.json("ls", "--password-file", new).code, 0)
        phrase = world.write("phrase", added + "\n")
        self.assertEqual(world.json("ls", "--phrase-file", phrase).code, 0)
        device = [i["number"] for i in world.json("key list").items if i["kind"] == "device"][0]
        env = {"DATAMESH_PASSWORD_FILE": new}
        self.assertEqual(world.json("key remove", str(device), env=env).code, 2)
        self.assertEqual(world.json("key remove", str(device), "--dry-run", env=env).code, 0)
        self.assertEqual(world.json("key remove", str(device), "--yes", env=env).code, 0)
        self.assertEqual(world.json("key remove", "99", "--yes", env=env).code, 5)
        self.assertGreaterEqual(world.json("key rotate", env=env).summary["epoch"], 1)

    def test_vaults_are_created_chosen_and_destroyed(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "--drive", world.path("d"), "--name", "one").code, 0)
        self.assertEqual(world.json("init", "--drive", world.path("d")).failure["error"], "DM-VAULT-EXISTS")
        self.assertEqual(world.json("vault create", "two").code, 0)
        self.assertEqual(world.json("ls").code, 10)
        self.assertEqual(world.json("vault use", "three").code, 10)
        self.assertEqual(world.json("vault use", "two").code, 0)
        self.assertEqual([i["name"] for i in world.json("vault list").items if i["current"]], ["two"])
        self.assertEqual(world.json("ls").code, 0)
        self.assertEqual(world.json("vault destroy", "one").code, 2)
        self.assertEqual(world.json("vault destroy", "one", "--dry-run").code, 0)
        self.assertEqual(len(world.json("vault list").items), 2)
        self.assertEqual(world.json("vault destroy", "one", "--yes").code, 0)
        self.assertEqual([i["name"] for i in world.json("vault list").items], ["two"])

    def test_a_destroyed_vault_leaves_nothing_on_the_drives(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        drives = [world.path(f"d{i}") for i in range(3)]
        self.assertEqual(world.json("init", *(word for d in drives for word in ("--drive", d))).code, 0)
        self.assertEqual(world.json("vault create", "two").code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(300_000)), "--vault", "two").code, 0)
        wrong = world.write("wrong", "wrong\n")
        os.chmod(wrong, 0o600)
        refused = world.json("vault destroy", "two", "--yes", "--password-file", wrong)
        self.assertEqual(refused.code, 12)
        self.assertIn("--key-only", refused.failure["suggestion"])
        stored = world.json("stats", "--vault", "two").summary
        foreseen = world.json("vault destroy", "two", "--dry-run").summary
        self.assertEqual((foreseen["packs"], foreseen["bytes_freed"], foreseen["drives_left"]), (stored["packs"], stored["shard_bytes"], []))
        self.assertEqual(world.json("vault destroy", "two", "--dry-run", "--key-only").summary["bytes_freed"], 0)
        os.rename(drives[0], world.path("away"))
        self.assertEqual(world.json("vault destroy", "two", "--dry-run").summary["drives_left"], [drives[0]])
        gone = world.json("vault destroy", "two", "--yes")
        self.assertEqual((gone.code, gone.summary["shards_removed"] > 0, gone.summary["drives_left"]), (0, True, [drives[0]]), gone.all)
        self.assertIn("datamesh vault destroy two", gone.of("status")[-1]["text"])
        self.assertEqual([d["shards"] for d in world.json("drive list").items], [0, 0, 0])
        os.rename(world.path("away"), drives[0])
        self.assertGreater(world.json("drive list").items[0]["shards"], 0)
        self.assertGreater(world.json("vault destroy", "two").summary["shards_removed"], 0)
        self.assertEqual([d["shards"] for d in world.json("drive list").items], [0, 0, 0])
        self.assertEqual(world.json("vault destroy", "two").code, 10)

    def test_who_interrupts_a_destruction_is_told_that_the_vault_is_gone(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "-d", world.path("d"), "--trust-device").code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(300_000))).code, 0)
        # What an earlier vault of the name left takes its time.
        drive = world.json("drive list").items[0]["id"]
        packs = "".join(f"pack {i:064x} 127\n" for i in range(1, 20_001))
        world.write("data/datamesh/removed/main.0", f"datamesh removal 1\nvault {'5a' * 32}\ndrive {drive}\n{packs}")

        def interrupted(until):
            program = subprocess.Popen(
                [world.program, "vault", "destroy", "main", "--yes"], env=world.variables(None), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            while not until():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.fail(f"it ended with {program.wait(timeout=0.001)} before it was interrupted")
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=120)
            self.assertEqual((program.returncode, out), (130, b""), err)
            lines = err.decode().splitlines()[-3:]
            self.assertIn("next: datamesh vault destroy main, or the next cleanup of any vault", lines[2])
            return lines[0]

        # Its folder goes last.
        told = interrupted(lambda: not os.path.exists(world.path("data/datamesh/vaults/main")))
        self.assertIn("error: vault 'main' is destroyed and nobody can read it any more", told)
        self.assertEqual(world.json("vault list").items, [])
        self.assertGreater(world.json("drive list").items[0]["shards"], 0)
        os.remove(world.path("data/datamesh/removed/main.0"))
        self.assertGreater(world.json("vault destroy", "main").summary["shards_removed"], 0)
        self.assertEqual(world.json("drive list").items[0]["shards"], 0)

    def test_of_a_vault_that_nobody_can_open_the_key_can_be_destroyed(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "--drive", world.path("d")).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(300_000))).code, 0)
        nobody = {"DATAMESH_PASSWORD_FILE": None}
        self.assertEqual(world.json("vault destroy", "main", "--yes", env=nobody).code, 2)
        self.assertEqual(world.json("vault destroy", "main", "--yes", "--key-only", env=nobody).summary["shards_removed"], 0)
        self.assertEqual(world.json("vault list").items, [])
        self.assertGreater(world.json("drive list").items[0]["shards"], 0)

    def test_lost_drives_are_told_replaced_and_the_data_stays(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        drives = [world.path(f"d{i}") for i in range(6)]
        self.assertEqual(world.json("init", *(word for d in drives for word in ("--drive", d))).code, 0)
        content = os.urandom(4_000_000)
        self.assertEqual(world.json("put", world.write("work/f", content)).code, 0)
        shutil.rmtree(drives[0])
        shutil.rmtree(drives[1])
        status = world.json("status")
        self.assertEqual((status.code, status.summary["answer"]), (3, "degraded"))
        self.assertEqual(world.run("cat", "/f").out, content)
        for lost, new in ((drives[0], "e0"), (drives[1], "e1")):
            replaced = world.json("drive replace", lost, world.path(new))
            self.assertEqual((replaced.code, replaced.summary["removed"]), (0, True), replaced.all)
        self.assertEqual(world.json("repair", "--deep").code, 0)
        self.assertEqual(world.json("status").summary["answer"], "safe")
        for lost in drives[2:5]:
            shutil.rmtree(lost)
        self.assertEqual(world.json("status").code, 7)
        verify = world.json("verify")
        self.assertEqual((verify.code, verify.summary["files_lost"]), (7, ["/f"]))
        lost = world.run("get", "/f", "--to", world.path("back"))
        # How much is read before it is known to be lost depends on where its blocks lie.
        self.assertEqual((lost.code, lost.errors.count("error: "), b"Brought back" in lost.out), (7, 1, False), str(lost))
        self.assertNotIn("the rest was done", lost.errors)
        self.assertIn("error: f: ", lost.errors)

    def test_a_put_with_a_drive_away_warns_before_its_summary(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        drives = [world.path(f"d{i}") for i in range(4)]
        self.assertEqual(world.json("init", *(word for d in drives for word in ("--drive", d))).code, 0)
        shutil.rmtree(drives[0])
        stored = world.json("put", world.write("work/f", "content"), "--policy", "2+2")
        self.assertEqual((stored.code, stored.summary["shards_short"]), (0, 1), stored.all)
        self.assertIn("found no drive", stored.of("status")[-1]["text"])

    def test_drives_are_added_drained_and_removed(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", *(word for i in range(3) for word in ("-d", world.path(f"d{i}")))).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(3_000_000))).code, 0)
        self.assertEqual(world.json("drive add", world.path("d3")).code, 0)
        self.assertEqual(len(world.json("drive list").items), 4)
        self.assertEqual(world.json("drive drain", world.path("d0"), "--dry-run").code, 0)
        self.assertEqual([d["state"] for d in world.json("drive list").items], ["ok"] * 4)
        self.assertNotEqual(world.json("drive remove", world.path("d0")).code, 0)
        self.assertIn(f"next: datamesh drive drain {world.path('d0')} && datamesh rebalance", world.run("drive", "remove", world.path("d0")).errors)
        self.assertEqual(world.json("drive drain", world.path("d0")).code, 0)
        self.assertEqual(world.json("rebalance").code, 0)
        self.assertEqual(world.json("drive remove", world.path("d0")).code, 0)
        self.assertEqual(world.json("drive remove", world.path("d1"), "--force").code, 2)
        self.assertEqual(world.json("drive remove", world.path("d1"), "--force", "--yes").code, 0)
        # Two drives are left for three shards: not all find a place until there is a third.
        self.assertEqual(world.json("repair").code, 3)
        self.assertEqual(world.json("drive add", world.path("d4")).code, 0)
        self.assertEqual(world.json("repair").code, 0)
        self.assertEqual(world.json("status").summary["answer"], "safe")

    def test_a_drive_in_use_replaces_no_other(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        drives = [world.path(f"d{i}") for i in range(3)]
        self.assertEqual(world.json("init", *(word for d in drives for word in ("-d", d))).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(3_000_000))).code, 0)
        os.symlink(drives[1], world.path("link"))
        for new in (drives[1], world.path("link")):
            for dry in ((), ("--dry-run",)):
                refused = world.json("drive replace", drives[2], new, *dry)
                self.assertEqual((refused.code, refused.failure["error"]), (1, "DM-ALREADY-EXISTS"), refused.all)
                self.assertIn("datamesh drive drain", refused.failure["suggestion"])
        self.assertEqual([d["state"] for d in world.json("drive list").items], ["ok"] * 3)
        # One that an earlier try added is empty.
        self.assertEqual(world.json("drive add", world.path("d3")).code, 0)
        self.assertEqual(world.json("drive replace", drives[2], world.path("d3")).summary["removed"], True)

    def test_what_can_be_no_drive_replaces_none_in_a_dry_run_either(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        drives = [world.path(f"d{i}") for i in range(3)]
        self.assertEqual(world.json("init", *(word for d in drives for word in ("-d", d))).code, 0)
        world.write("taken/datamesh-drive", "of another")
        for code, new in ((5, "/proc/nope"), (1, world.write("file", "x") + "/sub"), (1, world.path("taken"))):
            with self.subTest(new=new):
                tried, real = (world.json("drive replace", drives[2], new, *option) for option in (["--dry-run"], []))
                self.assertEqual((tried.code, real.code), (code, code), tried.all)
                self.assertEqual(tried.failure, real.failure)
        self.assertEqual([d["state"] for d in world.json("drive list").items], ["ok"] * 3)
        self.assertEqual(world.json("drive replace", drives[2], world.path("new/d"), "--dry-run").code, 0)
        self.assertFalse(os.path.exists(world.path("new")))

    def test_a_cleanup_tells_of_shards_that_wait_for_a_drive(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        drives = [world.path(f"d{i}") for i in range(3)]
        self.assertEqual(world.json("init", *(word for d in drives for word in ("-d", d))).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", os.urandom(3_000_000))).code, 0)
        self.assertEqual(world.json("rm", "/f").code, 0)
        os.rename(drives[0], world.path("away"))
        waiting = world.json("cleanup", "--trash-age", "0", "--yes")
        self.assertEqual((waiting.code, waiting.summary["shards_waiting"] > 0), (0, True), waiting.all)
        told = world.run("cleanup", "--yes")
        self.assertIn(b" on drives that are away or take no writes", told.out)
        self.assertIn("left there for the next cleanup", told.errors)
        os.rename(world.path("away"), drives[0])
        self.assertEqual(world.json("cleanup", "--yes").summary["shards_waiting"], 0)

    def test_drives_that_are_not_apart_are_refused_and_none_is_added(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "-d", "d0", "-d", "d1/").code, 0)
        os.symlink("d0", world.path("work/link"))
        self.assertEqual([d["folder"] for d in world.json("drive list").items], [world.path("work/d0"), world.path("work/d1")])
        home = world.path("data/datamesh")
        for folders in (["d2", "d2"], ["d2", "d2/"], ["d2", "d0/x"], ["d2", "link/x"], ["d2", home], ["d2", home + "/x"], ["d2", "."], ["/"]):
            with self.subTest(folders=folders):
                self.assertEqual(world.json("drive add", *folders).code, 2)
                self.assertEqual(sorted(os.listdir(world.path("work"))), ["d0", "d1", "link"])
        for command, *folders in (("drive replace", "d0", "d1/x"), ("drive adopt", "d1/x")):
            self.assertEqual(world.json(command, *folders).code, 2)
        for known in ("d0", "link"):
            taken = world.json("drive add", known)
            self.assertEqual((taken.code, "datamesh drive list" in taken.failure["suggestion"]), (1, True), taken.all)
        self.assertEqual(world.json("drive drain", "link/", "--dry-run").summary["folder"], world.path("work/d0"))
        self.assertEqual(len(world.json("drive list").items), 2)
        # Where a drive was there may be a new disk, and the drive somewhere else.
        os.rename(world.path("work/d1"), world.path("work/moved"))
        os.mkdir(world.path("work/d1"))
        self.assertEqual(world.json("drive replace", "d1", "d1", "--dry-run").code, 0)
        os.rename(world.path("work/moved"), world.path("work/d1/moved"))
        self.assertEqual(world.json("drive adopt", "d1/moved").code, 0)
        self.assertEqual(len(world.json("drive list").items), 2)

    def test_the_catalog_is_rebuilt_from_drives_and_key(self):
        world = World(PROGRAM, DOCS)
        self.addCleanup(world.close)
        self.assertEqual(world.json("init", "-d", world.path("d")).code, 0)
        self.assertEqual(world.json("put", world.write("work/f", "content")).code, 0)
        self.assertEqual(world.json("rebuild").summary["files"], 1)
        self.assertEqual(world.run("cat", "/f").out, b"content")

    def test_a_bench_measures_and_leaves_nothing(self):
        before = sorted(os.listdir(self.world.folder))
        lines = self.good("bench", "--size", "2M", "--folder", self.world.folder)
        self.assertEqual(len([i for i in lines.items if "stage" in i]), 7)
        self.assertEqual(sorted(os.listdir(self.world.folder)), before)

    def test_the_program_touches_nothing_outside_of_its_folders(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        log = self.world.path("strace.log")
        traced = subprocess.run(
            ["strace", "-f", "-qq", "-o", log, "-e", "trace=openat,mkdirat,mkdir,unlink,unlinkat,rename,renameat,renameat2,linkat,symlinkat", self.world.program, "put", self.world.path("password"), "--to", self.folder],
            env=self.world.variables(None), capture_output=True, check=False,
        )
        if traced.returncode != 0 and b"ptrace" in traced.stderr:
            self.skipTest("strace may not trace here")
        self.assertEqual(traced.returncode, 0, traced.stderr)
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                writes = "O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line or not re.search(r"openat\(", line)
                for path in re.findall(r'"(/[^"]*)"', line):
                    inside = path.startswith((self.world.folder, "/dev/", "/proc/"))
                    self.assertTrue(inside or not writes or "= -1" in line, line)


class AtThePrompt(unittest.TestCase):
    def setUp(self):
        self.world = World(PROGRAM, DOCS)
        self.addCleanup(self.world.close)
        self.env = {"DATAMESH_PASSWORD_FILE": None, "TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat"}

    def test_the_password_is_asked_for_twice_and_never_shown(self):
        terminal = self.world.terminal("init", "--drive", self.world.path("d"), env=self.env)
        terminal.read_until("new password: ")
        terminal.type(PASSWORD + "\n")
        terminal.read_until("once more: ")
        terminal.type(PASSWORD + "\n")
        self.assertEqual(terminal.end(), 0, terminal.seen)
        self.assertNotIn(PASSWORD.encode(), terminal.seen)
        self.assertIn(b"Recovery phrase", terminal.seen)
        again = self.world.terminal("ls", env=self.env)
        again.read_until("password of vault 'main': ")
        again.type("wrong\n")
        self.assertEqual(again.end(), 12, again.seen)

    def test_init_without_drives_asks_for_what_it_needs_and_shows_its_command_line(self):
        terminal = self.world.terminal("init", "--name", "photos", env=self.env)
        for number, folder in ((1, self.world.path("d 1")), (2, self.world.path("d2")), (3, "")):
            terminal.read_until(f"Drive {number} (--drive): ")
            terminal.type(folder + "\n")
        terminal.read_until("(--no-password) [y/N] ")
        terminal.type("n\n")
        terminal.read_until(f"This runs: datamesh init --drive '{self.world.path('d 1')}' --drive {self.world.path('d2')} --name photos\r\n")
        for question in ("new password: ", "once more: "):
            terminal.read_until(question)
            terminal.type(PASSWORD + "\n")
        self.assertEqual(terminal.end(), 0, terminal.seen)
        self.assertIn(b"Made vault 'photos'", terminal.seen)
        self.assertEqual(len(self.world.json("drive list").items), 2)

    def test_init_can_be_answered_to_need_no_password_and_to_make_nothing(self):
        terminal = self.world.terminal("init", env=self.env)
        terminal.read_until("Drive 1 (--drive): ")
        terminal.type("\n")
        self.assertEqual(terminal.end(), 2, terminal.seen)
        terminal = self.world.terminal("init", env=self.env)
        terminal.read_until("Drive 1 (--drive): ")
        terminal.type("d\n")
        terminal.read_until("Drive 2 (--drive): ")
        terminal.type("\n")
        terminal.read_until("(--no-password) [y/N] ")
        terminal.type("y\n")
        self.assertEqual(terminal.end(), 0, terminal.seen)
        self.assertIn(b"This runs: datamesh init --drive d --no-password\r\n", terminal.seen)
        self.assertEqual(self.world.json("ls", env={"DATAMESH_PASSWORD_FILE": None}).code, 0)

    def test_passwords_that_differ_are_refused(self):
        terminal = self.world.terminal("init", "--drive", self.world.path("d"), env=self.env)
        terminal.read_until("new password: ")
        terminal.type("one\n")
        terminal.read_until("once more: ")
        terminal.type("two\n")
        self.assertEqual(terminal.end(), 2, terminal.seen)
        self.assertFalse(os.path.exists(self.world.path("d")), "something was made before there was a password")
        self.assertFalse(os.path.exists(self.world.path("data/datamesh")))
        self.assertEqual(self.world.json("init", "--drive", self.world.path("d")).code, 0, "a second try must work")

    def test_an_interrupt_at_the_prompt_restores_the_terminal(self):
        terminal = self.world.terminal("init", "--drive", self.world.path("d"), env=self.env)
        terminal.read_until("new password: ")
        self.assertFalse(termios.tcgetattr(terminal.fd)[3] & termios.ECHO)
        terminal.interrupt()
        terminal.read_until("error: ")
        self.assertTrue(termios.tcgetattr(terminal.fd)[3] & termios.ECHO)
        self.assertEqual(terminal.end(), 130, terminal.seen)

    def test_destroying_asks_for_the_name_of_the_vault(self):
        self.assertEqual(self.world.json("init", "--drive", self.world.path("d")).code, 0)
        for answer, code in (("no", 130), ("main", 0)):
            terminal = self.world.terminal("vault", "destroy", "main", env=self.env)
            terminal.read_until("Type its name to go on: ")
            terminal.type(answer + "\n")
            if code == 0:
                terminal.read_until("assword of vault 'main'")
                terminal.type(PASSWORD + "\n")
            self.assertEqual(terminal.end(), code, terminal.seen)
            self.assertNotIn(b"is not stored twice", terminal.seen)
            self.assertEqual(b"nothing has changed" in terminal.seen, code != 0)
        self.assertEqual(self.world.json("vault list").items, [])


if __name__ == "__main__":
    PROGRAM, DOCS = sys.argv[1], sys.argv[2]
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"{PROGRAM} is no program")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=1)
