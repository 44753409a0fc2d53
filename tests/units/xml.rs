use fedboot::format::xml::Reply;

#[test]
fn reads_every_dialect() {
    let plain = "<R xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Credentials><AccessKeyId>ASIA</AccessKeyId>\
                 <SessionToken>a+b/c=</SessionToken><Expiration>2026-11-22T07:00:00Z</Expiration></Credentials></R>";
    let odd = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- note --><s:R xmlns:s=\"x\">\n <s:Credentials>\n  \
               <s:Expiration>2026-11-22T07:00:00.123456789Z</s:Expiration>\n <s:SessionToken>a&#43;b<![CDATA[/c]]>&#x3d;\
               </s:SessionToken><s:AccessKeyId> ASIA\n</s:AccessKeyId></s:Credentials><Empty/></s:R>";
    for xml in [plain, odd] {
        let reply = Reply::parse(xml.as_bytes()).expect(xml);
        assert_eq!(reply.text("AccessKeyId"), Some("ASIA"));
        assert_eq!(reply.text("SessionToken"), Some("a+b/c="));
        let time = reply.time("Expiration").map(fedboot::system::log::timestamp);
        assert_eq!(time.as_deref(), Some("2026-11-22T07:00:00Z"));
        assert_eq!(reply.text("Empty"), None);
    }
}

#[test]
fn refuses_what_is_cut_or_not_xml() {
    for text in ["", "garbage", "<a><b>x</b>", "<a><b>x</c></a>", "<a>&nosuch;</a>", "{\"a\":1}", "\u{fffd}"] {
        assert!(Reply::parse(text.as_bytes()).is_none(), "{text}");
    }
    assert!(Reply::parse(b"<a>\xff</a>").is_none());
}
