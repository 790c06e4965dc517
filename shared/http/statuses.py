"""The reason phrases of RFC 9110; the table in Python's own `http` differs between 3.12 and 3.13."""

from http import HTTPStatus

REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
