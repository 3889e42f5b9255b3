"""
ClickHouse's HTTP interface as far as the ledger uses it, in front of ClickHouse's own engine in this process (chdb): where
no server can be installed, what is stored, merged and refused is the real thing.

clickhouse-front.py FOLDER PORT PASSWORD
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlparse

from chdb import session

FOLDER, PORT, PASSWORD = sys.argv[1:]
ENGINE = session.Session(FOLDER)


class Front(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        fields = dict(parse_qsl(urlparse(self.path).query))
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.headers.get("x-clickhouse-key") != PASSWORD:
            return self.answer(403, "Code: 516. DB::Exception: Authentication failed", "516")
        sql = fields.pop("query", body)
        database = fields.pop("database", "default")
        # How its answer is sent, and no setting of the engine's.
        fields.pop("wait_end_of_query", None)
        settings = ", ".join(f"{name} = '{value}'" for name, value in fields.items())
        if " FORMAT " in sql:
            # As the server does it: settings of the address hold for the statement, and the body is its data.
            is_data = sql != body
            sql = sql.replace(" FORMAT ", f" SETTINGS {settings} FORMAT ") + (" " + body if is_data else "")
        try:
            ENGINE.query(f"USE {database}")
            self.answer(200, ENGINE.query(sql, "TSV").bytes().decode(), None)
        except Exception as error:
            code = re.search(r"Code: (\d+)", str(error))
            self.answer(500, str(error), code[1] if code else "0")

    def answer(self, status: int, text: str, code: str | None) -> None:
        self.send_response(status)
        if code is not None:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


HTTPServer(("127.0.0.1", int(PORT)), Front).serve_forever()
