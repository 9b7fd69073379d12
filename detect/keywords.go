package detect

// valueNeed says whether a keyword has a value.
type valueNeed uint8

const (
	optional valueNeed = iota
	needs
	none
)

// keyword is how a keyword of the rule language is compiled.
type keyword struct {
	parse func(b *builder, v string) error
	value valueNeed
	once  bool
}

// keywordTable makes the table of all keywords there are. Buffers are added
// from the table of buffers.
func keywordTable() map[string]keyword {
	m := map[string]keyword{
		// what the rule says about itself
		"msg":       {kwMsg, needs, true},
		"sid":       {kwSid, needs, true},
		"rev":       {kwRev, needs, true},
		"gid":       {kwGid, needs, false},
		"classtype": {kwClasstype, needs, false},
		"priority":  {kwPriority, needs, false},
		"reference": {kwReference, needs, false},
		"metadata":  {kwMetadata, needs, false},
		"target":    {kwTarget, needs, false},
		"requires":  {kwRequires, optional, false},
		"noalert":   {kwNoAlert, none, false},
		"alert":     {kwAlert, none, false},

		// contents
		"content":      {kwContent, needs, false},
		"uricontent":   {kwURIContent, needs, false},
		"nocase":       {kwNocase, none, false},
		"offset":       {kwOffset, needs, false},
		"depth":        {kwDepth, needs, false},
		"distance":     {kwDistance, needs, false},
		"within":       {kwWithin, needs, false},
		"startswith":   {kwStartswith, none, false},
		"endswith":     {kwEndswith, none, false},
		"rawbytes":     {kwRawbytes, none, false},
		"replace":      {kwReplace, needs, false},
		"fast_pattern": {kwFastPattern, optional, false},
		"isdataat":     {kwIsdataat, needs, false},
		"bsize":        {kwBsize, needs, false},
		"urilen":       {kwUrilen, needs, false},
		"pcre":         {kwPcre, needs, false},
		"absent":       {kwAbsent, optional, false},
		"prefilter":    {kwPrefilter, none, false},
		"frame":        {kwFrame, needs, false},

		// numbers in a buffer
		"byte_test":     {kwByteTest, needs, false},
		"byte_jump":     {kwByteJump, needs, false},
		"byte_extract":  {kwByteExtract, needs, false},
		"byte_math":     {kwByteMath, needs, false},
		"base64_decode": {kwBase64Decode, optional, false},
		"base64_data":   {kwBase64Data, none, false},

		// packet headers
		"dsize":      {kwDsize, needs, false},
		"ttl":        {kwTTL, needs, false},
		"tos":        {kwTOS, needs, false},
		"id":         {kwIPID, needs, false},
		"ipopts":     {kwIPOpts, needs, false},
		"fragbits":   {kwFragBits, needs, false},
		"fragoffset": {kwFragOffset, needs, false},
		"ip_proto":   {kwIPProto, needs, false},
		"sameip":     {kwSameIP, none, false},
		"iprep":      {kwIPRep, needs, false},
		"l3_proto":   {kwL3Proto, needs, false},
		"itype":      {kwIType, needs, false},
		"icode":      {kwICode, needs, false},
		"icmp_id":    {kwICMPID, needs, false},
		"icmp_seq":   {kwICMPSeq, needs, false},
		"icmpv6.mtu": {kwMTU, needs, false},
		"flags":      {kwFlags, needs, false},
		"tcp.flags":  {kwFlags, needs, false},
		"seq":        {kwSeq, needs, false},
		"tcp.seq":    {kwSeq, needs, false},
		"ack":        {kwAck, needs, false},
		"tcp.ack":    {kwAck, needs, false},
		"window":     {kwWindow, needs, false},
		"tcp.window": {kwWindow, needs, false},
		"tcp.mss":    {kwMSS, needs, false},
		"ipv4-csum":  {kwCsum, needs, false},
		"tcpv4-csum": {kwCsum, needs, false},
		"tcpv6-csum": {kwCsum, needs, false},
		"udpv4-csum": {kwCsum, needs, false},
		"udpv6-csum": {kwCsum, needs, false},

		"icmpv4-csum":  {kwCsum, needs, false},
		"icmpv6-csum":  {kwCsum, needs, false},
		"decode-event": {kwDecodeEvent, needs, false},
		"engine-event": {kwDecodeEvent, needs, false},
		"stream-event": {kwStreamEvent, needs, false},

		// flows
		"flow":               {kwFlow, needs, false},
		"flowbits":           {kwFlowbits, needs, false},
		"flowint":            {kwFlowint, needs, false},
		"flowvar":            {kwFlowvar, needs, false},
		"xbits":              {kwXbits, needs, false},
		"hostbits":           {kwHostbits, needs, false},
		"stream_size":        {kwStreamSize, needs, false},
		"flow.age":           {kwFlowAge, needs, false},
		"flow.pkts_toserver": {kwFlowPkts, needs, false},

		"flow.pkts_toclient":  {kwFlowPkts, needs, false},
		"flow.bytes_toserver": {kwFlowPkts, needs, false},
		"flow.bytes_toclient": {kwFlowPkts, needs, false},
		"app-layer-protocol":  {kwAppProtocol, needs, false},
		"app-layer-event":     {kwAppEvent, needs, false},
		"bypass":              {kwBypass, none, false},
		"ftpbounce":           {kwFtpBounce, none, false},
		"rpc":                 {kwRPC, needs, false},
		"tls.version":         {kwTLSVersion, needs, false},
		"ssl_version":         {kwSSLVersion, needs, false},
		"asn1":                {kwASN1, needs, false},
		"dataset":             {kwDataset, needs, false},
		"datarep":             {kwDatarep, needs, false},
		"tls.fingerprint":     {kwTLSText, needs, false},
		"tls.subject":         {kwTLSText, needs, false},
		"tls.issuerdn":        {kwTLSText, needs, false},
		"tls_cert_notbefore":  {kwTLSDate, needs, false},
		"tls_cert_notafter":   {kwTLSDate, needs, false},
		"tls_cert_expired":    {kwTLSValid, none, false},
		"tls_cert_valid":      {kwTLSValid, none, false},
		"tag":                 {kwTag, needs, false},
		"template2":           {kwTTL, needs, false}, // shipped as a pattern for authors of keywords
		"ssl_state":           {kwSSLState, needs, false},
		"tls_store":           {kwTLSStore, none, false},
		"tls.store":           {kwTLSStore, none, false},
		"geoip":               {kwGeoIP, needs, false},
		"pktvar":              {kwPktvar, needs, false},
		"nfq_set_mark":        {kwNFQSetMark, needs, false},
		"config":              {kwConfig, needs, false},

		// rates
		"threshold":        {kwThreshold, needs, false},
		"detection_filter": {kwDetectionFilter, needs, true},
	}
	addBuffers(m)
	addTransforms(m)
	addFieldKeywords(m)
	addFileKeywords(m)
	return m
}

// Keywords returns the names of all keywords that can be compiled.
func Keywords() []string {
	var names []string
	for n := range keywordTable() {
		names = append(names, n)
	}
	return names
}
