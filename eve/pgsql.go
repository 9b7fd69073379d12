package eve

import (
	"strconv"

	"github.com/garita/garita/app"
)

func pgsqlObject(o *object, t *app.PGSQLTx) {
	o.open("pgsql")
	o.uint("tx_id", t.ID+1)
	if t.Kind != 0 {
		o.open("request")
		pgsqlRequest(o, t)
		o.close()
	}
	o.open("response")
	pgsqlResponse(o, t)
	o.close()
	o.close()
}

// pgsqlRequest never tells a password.
func pgsqlRequest(o *object, t *app.PGSQLTx) {
	switch t.Kind {
	case app.PGSQLSSLRequest:
		o.str("message", "SSL Request")
	case app.PGSQLCancel:
		o.str("message", "cancel_request")
	case app.PGSQLStartup:
		o.str("protocol_version", strconv.Itoa(int(t.Version[0]))+"."+strconv.Itoa(int(t.Version[1])))
		o.open("startup_parameters")
		for _, p := range t.Params {
			if string(p.Name) == "user" {
				o.bytes("user", p.Value)
			}
		}
		o.openArray("optional_parameters")
		for _, p := range t.Params {
			if string(p.Name) != "user" {
				pgsqlPair(o, string(p.Name), p.Value)
			}
		}
		o.closeArray()
		o.close()
	case app.PGSQLSASLInitial:
		m := string(t.Mechanism)
		switch m {
		case "SCRAM-SHA-256":
			m = "scram_SHA256"
		case "SCRAM-SHA-256-PLUS":
			m = "scram_SHA256_plus"
		}
		o.str("sasl_authentication_mechanism", m)
		o.bytes("sasl_param", t.Text)
	case app.PGSQLSASLResponse:
		o.bytes("sasl_response", t.Text)
	case app.PGSQLPassword:
		o.str("message", "password_message")
	case app.PGSQLQuery:
		o.bytes("simple_query", t.Text)
	case app.PGSQLTerminate:
		o.str("message", "termination_message")
	default:
		o.str("message", "unknown")
	}
}

func pgsqlPair(o *object, k string, v []byte) {
	o.item()
	o.open("")
	o.bytes(k, v)
	o.close()
}

// pgsqlStatus are the names by which parameters of the server are told.
var pgsqlStatus = map[string]string{
	"DateStyle": "date_style", "IntervalStyle": "interval_style", "TimeZone": "time_zone",
}

// pgsqlFields are the names of the fields of errors (PostgreSQL documentation,
// §55.8).
var pgsqlFields = map[string]string{
	"S": "severity_localizable", "V": "severity_non_localizable", "C": "code", "M": "message", "D": "detail", "H": "hint",
	"P": "position", "p": "internal_position", "q": "internal_query", "W": "where", "s": "schema_name", "t": "table", "c": "column",
	"d": "data_type", "n": "constraint", "F": "file", "L": "line", "R": "routine",
}

func pgsqlResponse(o *object, t *app.PGSQLTx) {
	if t.SSLAnswered {
		o.bool("ssl_accepted", t.SSLAccepted)
	}
	for _, fs := range [2][]app.PGSQLParam{t.Error, t.Notice} {
		for _, f := range fs {
			if n := pgsqlFields[string(f.Name)]; n != "" {
				o.bytes(n, f.Value)
			}
		}
	}
	for _, a := range t.Auth {
		switch a {
		case 0:
			o.str("message", "authentication_ok")
		case 3:
			o.str("message", "authentication_cleartext_password")
		case 5:
			o.bytes("authentication_md5_password", t.Salt)
		case 7:
			o.str("message", "authentication_gss")
		case 9:
			o.str("message", "authentication_sspi")
		case 10:
			o.str("message", "authentication_sasl")
		case 11:
			o.str("message", "authentication_sasl_continue")
		case 12:
			o.bytes("authentication_sasl_final", t.SASLFinal)
		}
	}
	if len(t.Status) > 0 {
		o.openArray("parameter_status")
		for _, p := range t.Status {
			n := pgsqlStatus[string(p.Name)]
			if n == "" {
				n = string(p.Name)
			}
			pgsqlPair(o, n, p.Value)
		}
		o.closeArray()
	}
	if t.HasKey {
		o.uint("process_id", uint64(t.ProcessID))
		o.uint("secret_key", uint64(t.SecretKey))
	}
	if t.HasFields {
		o.uint("field_count", uint64(t.Fields))
	}
	if t.Rows > 0 {
		o.uint("data_rows", t.Rows)
		o.uint("data_size", t.RowBytes)
	}
	if t.Completed != nil {
		o.bytes("command_completed", t.Completed)
	}
}
