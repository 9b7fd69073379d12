package detect

import (
	"strconv"
	"strings"
)

// DefaultClasses are the classtypes of Suricata's classification.config.
func DefaultClasses() map[string]Class {
	return map[string]Class{
		"not-suspicious":                 {"Not Suspicious Traffic", 3},
		"unknown":                        {"Unknown Traffic", 3},
		"bad-unknown":                    {"Potentially Bad Traffic", 2},
		"attempted-recon":                {"Attempted Information Leak", 2},
		"successful-recon-limited":       {"Information Leak", 2},
		"successful-recon-largescale":    {"Large Scale Information Leak", 2},
		"attempted-dos":                  {"Attempted Denial of Service", 2},
		"successful-dos":                 {"Denial of Service", 2},
		"attempted-user":                 {"Attempted User Privilege Gain", 1},
		"unsuccessful-user":              {"Unsuccessful User Privilege Gain", 1},
		"successful-user":                {"Successful User Privilege Gain", 1},
		"attempted-admin":                {"Attempted Administrator Privilege Gain", 1},
		"successful-admin":               {"Successful Administrator Privilege Gain", 1},
		"rpc-portmap-decode":             {"Decode of an RPC Query", 2},
		"shellcode-detect":               {"Executable code was detected", 1},
		"string-detect":                  {"A suspicious string was detected", 3},
		"suspicious-filename-detect":     {"A suspicious filename was detected", 2},
		"suspicious-login":               {"An attempted login using a suspicious username was detected", 2},
		"system-call-detect":             {"A system call was detected", 2},
		"tcp-connection":                 {"A TCP connection was detected", 4},
		"trojan-activity":                {"A Network Trojan was detected", 1},
		"unusual-client-port-connection": {"A client was using an unusual port", 2},
		"network-scan":                   {"Detection of a Network Scan", 3},
		"denial-of-service":              {"Detection of a Denial of Service Attack", 2},
		"non-standard-protocol":          {"Detection of a non-standard protocol or event", 2},
		"protocol-command-decode":        {"Generic Protocol Command Decode", 3},
		"web-application-activity":       {"access to a potentially vulnerable web application", 2},
		"web-application-attack":         {"Web Application Attack", 1},
		"misc-activity":                  {"Misc activity", 3},
		"misc-attack":                    {"Misc Attack", 2},
		"icmp-event":                     {"Generic ICMP event", 3},
		"inappropriate-content":          {"Inappropriate Content was Detected", 1},
		"policy-violation":               {"Potential Corporate Privacy Violation", 1},
		"default-login-attempt":          {"Attempt to login by a default username and password", 2},
		"targeted-activity":              {"Targeted Malicious Activity was Detected", 1},
		"exploit-kit":                    {"Exploit Kit Activity Detected", 1},
		"external-ip-check":              {"Device Retrieving External IP Address Detected", 2},
		"domain-c2":                      {"Domain Observed Used for C2 Detected", 1},
		"pup-activity":                   {"Possibly Unwanted Program Detected", 2},
		"credential-theft":               {"Successful Credential Theft Detected", 1},
		"social-engineering":             {"Possible Social Engineering Attempted", 2},
		"coin-mining":                    {"Crypto Currency Mining Activity Detected", 2},
		"command-and-control":            {"Malware Command and Control Activity Detected", 1},
	}
}

// DefaultReferences are the reference kinds of Suricata's reference.config:
// what stands before the value makes the address.
func DefaultReferences() map[string]string {
	return map[string]string{
		"bugtraq":         "http://www.securityfocus.com/bid/",
		"bid":             "http://www.securityfocus.com/bid/",
		"cve":             "http://cve.mitre.org/cgi-bin/cvename.cgi?name=",
		"secunia":         "http://www.secunia.com/advisories/",
		"arachNIDS":       "http://www.whitehats.com/info/IDS",
		"McAfee":          "http://vil.nai.com/vil/content/v_",
		"nessus":          "http://cgi.nessus.org/plugins/dump.php3?id=",
		"url":             "http://",
		"et":              "http://doc.emergingthreats.net/",
		"etpro":           "http://doc.emergingthreatspro.com/",
		"telus":           "http://",
		"osvdb":           "http://osvdb.org/show/osvdb/",
		"threatexpert":    "http://www.threatexpert.com/report.aspx?md5=",
		"md5":             "http://www.threatexpert.com/report.aspx?md5=",
		"exploitdb":       "http://www.exploit-db.com/exploits/",
		"openpacket":      "https://www.openpacket.org/capture/grab/",
		"securitytracker": "http://securitytracker.com/id?",
		"xforce":          "http://xforce.iss.net/xforce/xfdb/",
		"msft":            "http://technet.microsoft.com/security/bulletin/",
	}
}

// ParseClasses reads a classification.config: lines of
// "config classification: name,text,priority". It returns the lines that are
// malformed, by number.
func ParseClasses(src string) (map[string]Class, []int) {
	m := make(map[string]Class)
	var bad []int
	for i, line := range strings.Split(src, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		rest, ok := strings.CutPrefix(line, "config classification:")
		f := strings.Split(rest, ",")
		if !ok || len(f) != 3 {
			bad = append(bad, i+1)
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(f[2]))
		if err != nil || n < 1 || n > 255 {
			bad = append(bad, i+1)
			continue
		}
		m[strings.ToLower(strings.TrimSpace(f[0]))] = Class{strings.TrimSpace(f[1]), n}
	}
	return m, bad
}

// ParseReferences reads a reference.config: lines of
// "config reference: name prefix".
func ParseReferences(src string) (map[string]string, []int) {
	m := make(map[string]string)
	var bad []int
	for i, line := range strings.Split(src, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		rest, ok := strings.CutPrefix(line, "config reference:")
		f := strings.Fields(rest)
		if !ok || len(f) != 2 {
			bad = append(bad, i+1)
			continue
		}
		m[strings.ToLower(f[0])] = f[1]
	}
	return m, bad
}
